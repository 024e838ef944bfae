package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
)

// lexicon remembers the text of tokens that /tokenize gave out, so that /detokenize can turn them back. It holds at
// most lexiconSize texts; what came later is not remembered.
type lexicon struct {
	mu    sync.Mutex // guards texts
	texts map[uint32]string
}

const lexiconSize = 1 << 16

func (x *lexicon) learn(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.texts == nil {
		x.texts = map[uint32]string{markStart: "<|im_start|>", markEnd: "<|im_end|>", markNewline: "\n"}
		for _, w := range words {
			x.texts[tokenID(w)] = w
			x.texts[tokenID(" "+w)] = " " + w
		}
	}
	for text != "" && len(x.texts) < lexiconSize {
		n := nextToken(text)
		x.texts[tokenID(text[:n])] = strings.Clone(text[:n])
		text = text[n:]
	}
}

func (x *lexicon) text(tokens []uint32) string {
	x.learn("")
	x.mu.Lock()
	defer x.mu.Unlock()
	var b strings.Builder
	for _, t := range tokens {
		text, ok := x.texts[t]
		if !ok {
			text = fmt.Sprintf("<|%d|>", t)
		}
		b.WriteString(text)
	}
	return b.String()
}

func (l *life) handleTokenize(ctx *fasthttp.RequestCtx) {
	b, p := readBody(ctx)
	if p == nil {
		p = l.s.knows(b)
	}
	var tokens []uint32
	switch {
	case p != nil:
	case b.Messages != nil:
		for i := range b.Messages {
			l.s.lexicon.learn(b.Messages[i].Role)
			if text, p := b.Messages[i].text(); p == nil {
				l.s.lexicon.learn(text)
			}
		}
		tokens, _, p = b.chatTokens(0)
	default:
		var text string
		if json.Unmarshal(b.Prompt, &text) != nil {
			p = missing(ctx, "prompt")
			break
		}
		l.s.lexicon.learn(text)
		tokens = appendTokens(nil, text)
	}
	if p != nil {
		l.s.fail(ctx, p)
		return
	}
	if tokens == nil {
		tokens = []uint32{}
	}
	ids, _ := json.Marshal(tokens)
	writeJSON(ctx, 200, fmt.Appendf(nil, `{"count":%d,"max_model_len":%d,"tokens":%s,"token_strs":null}`, len(tokens), l.s.cfg.MaxModelLen, ids))
}

func (l *life) handleDetokenize(ctx *fasthttp.RequestCtx) {
	b, p := readBody(ctx)
	if p == nil {
		p = l.s.knows(b)
	}
	if p != nil {
		l.s.fail(ctx, p)
		return
	}
	writeJSON(ctx, 200, append(appendString([]byte(`{"prompt":`), l.s.lexicon.text(b.Tokens)), '}'))
}
