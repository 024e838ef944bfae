package engine

import "math"

// StepModel holds the constants from which the duration of a step follows. Times are seconds.
//
// The formula and the constants of the cards were fitted to the operator tables of LLMServingSim (MIT) and Vidur
// (MIT): with N tokens in the step, D of them from decoding sequences, and S sequences that sample,
//
//	t = Base + (Weights^P + (PerToken·N)^P)^(1/P)         reading the weights against computing with them
//	  + AttnBase + AttnPerDecode·D                        attention kernels
//	  + KVBytes·(context of the decodes)/KVBandwidth      reading keys and values
//	  + for each prompt chunk of q tokens after k:
//	      4·Width·Layers·q·(k+q/2)/AttnFlops + KVBytes·(k+q)/KVBandwidth
//	  + Head + PerSeq·S                                   output layer and sampling
type StepModel struct {
	Base          float64 // host work of a step
	Weights       float64 // reading all weights once
	PerToken      float64 // dense computation for one token
	P             float64 // how sharply the two overlap: 2 soft, 3 sharp
	AttnBase      float64
	AttnPerDecode float64
	KVBytes       float64 // bytes of keys and values of one token
	KVBandwidth   float64 // bytes/s
	Width         float64 // query heads times head size
	Layers        float64
	AttnFlops     float64 // operations/s of prompt attention
	Head          float64
	PerSeq        float64
}

// Batch is what one step computes, as far as its duration depends on it.
type Batch struct {
	Tokens    int     // N
	Sampling  int     // S
	Decodes   int     // D
	DecodeCtx int     // sum of the decodes' contexts
	ChunkWork float64 // sum over prompt chunks of q·(k+q/2)
	ChunkCtx  int     // sum over prompt chunks of k+q
}

// add puts n tokens of a sequence with k computed ones into the batch.
func (b *Batch) add(k, n int, decode, samples bool) {
	b.Tokens += n
	if samples {
		b.Sampling++
	}
	if decode {
		b.Decodes++
		b.DecodeCtx += k + n
		return
	}
	b.ChunkWork += float64(n) * (float64(k) + float64(n)/2)
	b.ChunkCtx += k + n
}

// Seconds returns how long the batch takes.
func (m *StepModel) Seconds(b *Batch) float64 {
	dense := m.Weights * math.Pow(1+math.Pow(m.PerToken*float64(b.Tokens)/m.Weights, m.P), 1/m.P)
	attention := m.AttnBase + m.AttnPerDecode*float64(b.Decodes) +
		m.KVBytes*float64(b.DecodeCtx+b.ChunkCtx)/m.KVBandwidth +
		4*m.Width*m.Layers*b.ChunkWork/m.AttnFlops
	return m.Base + dense + attention + m.Head + m.PerSeq*float64(b.Sampling)
}
