package engine

import (
	"fmt"
	"slices"
	"strings"
)

// DefaultPreset is a 24 GB card of the A10 class with Llama-3-8B.
const DefaultPreset = "a10-llama3-8b"

// Preset is a GPU with a model on it.
type Preset struct {
	Name             string
	Source           string // where the constants come from: measured or derived
	Step             StepModel
	Blocks           int // KV blocks of 16 tokens
	MaxBatchedTokens int // vLLM's default for the card
	MaxSeqs          int // vLLM's default for the card
	MaxModelLen      int // longest prompt and answer together
}

// card holds what the table of presets gives for an 8B Llama-3 on one GPU.
type card struct {
	name, source              string
	weights, perToken         float64 // ms, µs
	p, bandwidth, flops, head float64 // -, GB/s, TFLOP/s of prompt attention, ms
	perSeq, base              float64 // µs, ms
	blocks, budget, seqs      int
	llama                     string // the model's name on this card
	length                    int
}

const derived = "derived: the rule for weights, compute and KV bandwidth with the efficiencies of the nearest measured card"

// cards lists the GPUs. The two RTX cards are measured (and the RTX 4090 is validated against a run of vLLM); for the
// others prompt attention is taken as 0.65 of the peak.
func cards() []card {
	return []card{
		{name: "a10", source: derived, weights: 29.1, perToken: 186, p: 2.4, bandwidth: 450, flops: 81, head: 2.2, perSeq: 6.2, base: 1, blocks: 1900, budget: 2048, seqs: 256, llama: "llama3-8b", length: 8192},
		{name: "l20", source: derived, weights: 20.7, perToken: 167, p: 2.4, bandwidth: 650, flops: 77, head: 1.5, perSeq: 6.2, base: 1, blocks: 12000, budget: 2048, seqs: 256, llama: "llama3-8b", length: 8192},
		{name: "a100-80", source: "dense part measured (Vidur), the rest derived", weights: 9.7, perToken: 66.5, p: 2.4, bandwidth: 1470, flops: 203, head: 0.7, perSeq: 4.7, base: 1, blocks: 28000, budget: 2048, seqs: 256, llama: "llama3-8b", length: 8192},
		{name: "h100-80", source: "dense part measured with a 7B model (Vidur) and scaled, the rest derived", weights: 6.0, perToken: 21.5, p: 2, bandwidth: 2350, flops: 640, head: 0.45, perSeq: 4.7, base: 1, blocks: 28000, budget: 8192, seqs: 1024, llama: "llama3-8b", length: 8192},
		{name: "h20-96", source: derived, weights: 4.8, perToken: 118, p: 2.4, bandwidth: 2800, flops: 96, head: 0.4, perSeq: 4.7, base: 1, blocks: 35000, budget: 8192, seqs: 1024, llama: "llama3-8b", length: 8192},
		{name: "rtx4090", source: "measured (LLMServingSim), validated against vLLM 0.19", weights: 15.55, perToken: 88, p: 3, bandwidth: 913, flops: 150, head: 1.10, perSeq: 6.2, base: 0.6, blocks: 2588, budget: 2048, seqs: 256, llama: "llama31-8b", length: 32768},
		{name: "rtxpro6000", source: "measured (LLMServingSim); KV bandwidth fitted to a run of vLLM 0.19", weights: 9.95, perToken: 37.2, p: 2.6, bandwidth: 1150, flops: 330, head: 0.70, perSeq: 4.7, base: 0.6, blocks: 35600, budget: 8192, seqs: 1024, llama: "llama31-8b", length: 32768},
	}
}

// preset returns the preset of an 8B Llama-3 (131,072 bytes of keys and values a token in 16 bits).
func (g card) preset() Preset {
	return Preset{
		Name: g.name + "-" + g.llama, Source: g.source,
		Blocks: g.blocks, MaxBatchedTokens: g.budget, MaxSeqs: g.seqs, MaxModelLen: g.length,
		Step: StepModel{
			Base: g.base * 1e-3, Weights: g.weights * 1e-3, PerToken: g.perToken * 1e-6, P: g.p,
			AttnBase: 0.38e-3, AttnPerDecode: 5e-6,
			KVBytes: 131072, KVBandwidth: g.bandwidth * 1e9, Width: 4096, Layers: 32, AttnFlops: g.flops * 1e12,
			Head: g.head * 1e-3, PerSeq: g.perSeq * 1e-6,
		},
	}
}

// qwen returns the preset of Qwen2.5-7B on the same card: 0.93 of the weights and of the work, 57,344 bytes a token.
func (g card) qwen() Preset {
	p := g.preset()
	p.Name, p.Source = g.name+"-qwen2.5-7b", derived
	p.Blocks, p.MaxModelLen = g.blocks*22/10, 32768
	p.Step.Weights *= 0.93
	p.Step.PerToken *= 0.93
	p.Step.KVBytes, p.Step.Width, p.Step.Layers = 57344, 3584, 28
	return p
}

// Presets returns all presets in the order of their names.
func Presets() []Preset {
	var all []Preset
	for _, g := range cards() {
		all = append(all, g.preset(), g.qwen())
	}
	slices.SortFunc(all, func(a, b Preset) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// LookupPreset finds a preset by its name; the error lists the names that exist.
func LookupPreset(name string) (Preset, error) {
	var names []string
	for _, p := range Presets() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("unknown engine preset %q, there are %s", name, strings.Join(names, ", "))
}

func mustPreset(name string) Preset {
	p, err := LookupPreset(name)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return p
}
