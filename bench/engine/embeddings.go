package engine

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/valyala/fasthttp"
)

// embeddingSize is the length of vectors whose request does not say another.
const embeddingSize = 64

// handleEmbeddings answers with unit vectors that follow from the text. The engine computes the prompt and no more.
func (l *life) handleEmbeddings(ctx *fasthttp.RequestCtx) {
	b, p := readBody(ctx)
	if p == nil {
		p = l.s.knows(b)
	}
	var inputs [][]uint32
	if p == nil {
		inputs, p = textTokens(b.Input, "input")
	}
	if p != nil {
		l.s.fail(ctx, p)
		return
	}
	one := 1
	b.MaxTokens, b.N, b.MinTokens, b.IgnoreEOS = &one, nil, 0, true
	c, p := l.newCall(ctx, embeddingFamily, b, inputs, func(i int) uint64 { return tokenKey(l.s.cfg.Seed, inputs[i]) })
	if p != nil {
		l.s.fail(ctx, p)
		return
	}
	c.embed(ctx, b, inputs)
}

func (c *call) embed(ctx *fasthttp.RequestCtx, b *body, inputs [][]uint32) {
	l := c.life
	c.watch = startWatch(ctx.Conn(), func() {
		close(c.gone)
		l.leave(c)
	})
	defer c.watch.stop()
	if p := l.submit(c); p != nil {
		l.s.fail(ctx, p)
		return
	}
	ok := c.wait()
	l.leave(c)
	if !ok {
		ctx.SetConnectionClose()
		return
	}
	out := fmt.Appendf(nil, `{"id":%s,"object":"list","created":%d,"model":%s,"data":[`, appendString(nil, c.id), c.created, appendString(nil, c.model))
	for i, tokens := range inputs {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `{"index":%d,"object":"embedding","embedding":`, i)
		out = append(appendVector(out, vector(tokens, b.Dimensions), b.EncodingFormat), '}')
	}
	out = fmt.Appendf(out, `],"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":0,"prompt_tokens_details":null}}`, c.prompt, c.prompt)
	writeJSON(ctx, 200, out)
}

// vector returns the unit vector of a text.
func vector(tokens []uint32, size int) []float32 {
	if size < 1 || size > 4096 {
		size = embeddingSize
	}
	key, norm := tokenKey(0, tokens), 0.0
	v := make([]float32, size)
	for i := range v {
		x := float64(mix(key+uint64(i))>>11)/(1<<52) - 1
		v[i] = float32(x)
		norm += x * x
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(norm))
	}
	return v
}

// appendVector writes v as a list of numbers or as base64 of little-endian floats.
func appendVector(dst []byte, v []float32, format string) []byte {
	if format == "base64" {
		raw := make([]byte, 0, 4*len(v))
		for _, x := range v {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, raw)
		return append(dst, '"')
	}
	dst = append(dst, '[')
	for i, x := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(x), 'g', -1, 32)
	}
	return append(dst, ']')
}
