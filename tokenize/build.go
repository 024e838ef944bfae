package tokenize

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// The marks of the canonical form. Text may contain them too: the hash routes, it does not authenticate.
const (
	markMessage = 0x1e // starts a message: mark, role, markText
	markText    = 0x1f // ends a role or a name
	markTool    = 0x1d // starts a tool call: mark, name, markText, arguments
	markMedia   = 0x1c // stands before an image, a sound or a file
	markPart    = 0x1b // stands between prompts of one request, tools, documents
)

// mediaBytes is the canonical length of an image or a sound: 4 blocks, about 256 tokens, a common size.
const mediaBytes = 4 * BlockBytes

// maxMedia is how many parts of a prompt have that length: engines take fewer, and a part of three bytes must not cost a thousand. Further
// ones are as long as their hash.
const maxMedia = 1000

// keepBlocks is the number of blocks whose memory Reset keeps, enough for 4 million bytes of prompt.
const keepBlocks = 16 << 10

// Builder makes prompts. The zero Builder is ready; it is for one goroutine at a time and is worth reusing: a reused
// one allocates nothing but for member names spelled with escapes.
type Builder struct {
	chain chain
	args  spelling
	role  string // whose message is open; "" before the first
	ids   int    // prompt tokens that came as ids
	parts int    // parts that are no text
	// answering says that the assistant's message of the answer was opened.
	answering bool
	prompt    int // blocks of the prompt
}

// Reset forgets the prompt and its answer. Blocks handed out before may be overwritten from now on.
func (b *Builder) Reset() {
	if cap(b.chain.blocks) > keepBlocks {
		b.chain.blocks = nil
	}
	b.chain.start(0)
	b.args.reset()
	b.role, b.ids, b.parts, b.answering, b.prompt = "", 0, 0, false, 0
}

// Clone returns a copy that shares nothing with b: one prompt may so have several answers.
func (b *Builder) Clone() *Builder {
	c := *b
	c.chain.blocks = slices.Clone(b.chain.blocks)
	return &c
}

// Build makes the prompt of s. Its Blocks belong to the Builder and stay valid until Reset. est may be nil.
func (b *Builder) Build(s *Source, est *Estimator) Prompt {
	b.Reset()
	b.chain.start(seed(s))
	switch s.Form {
	case Completion:
		b.prompts(s.Prompt)
	case Plain:
		b.plain(s)
	default:
		b.conversation(s)
	}
	b.prompt = len(b.chain.blocks)
	text := b.chain.total - 4*b.ids
	p := Prompt{Bytes: b.chain.total, Tokens: b.ids, Blocks: b.chain.blocks[:b.prompt:b.prompt]}
	if text > 0 {
		p.Tokens += est.Tokens(text)
	}
	p.Tokens = max(1, p.Tokens)
	return p
}

// seed starts the chain: prompts that differ in it share nothing.
func seed(s *Source) uint64 {
	wrapped := uint64(1)
	if s.Form == Completion || s.Form == Plain {
		wrapped = 0
	}
	h := mix(xxhash.Sum64String(s.Model), wrapped)
	if KindOf(s.Salt) != Null && len(s.Salt) > 0 {
		h = mix(h, valueHash(s.Salt))
	}
	if KindOf(s.TemplateArgs) != Null && len(s.TemplateArgs) > 0 {
		h = mix(h, valueHash(s.TemplateArgs))
	}
	return h
}

// conversation writes what a chat template renders, in the order in which templates do: tools, documents, system,
// messages.
func (b *Builder) conversation(s *Source) {
	b.list(s.Tools)
	b.list(s.Documents)
	for _, system := range [][]byte{s.System, s.Instructions} {
		if k := KindOf(system); k == String || k == Array {
			b.open("system")
			b.content(system)
		}
	}
	switch messages := s.Messages; {
	case s.Form == Responses && KindOf(s.Input) == String:
		b.open("user")
		b.chain.text(s.Input)
	case s.Form == Responses:
		b.messages(s.Input)
	default:
		b.messages(messages)
	}
}

// list writes the elements of a list as they are, without blanks.
func (b *Builder) list(raw []byte) {
	if KindOf(raw) != Array {
		return
	}
	w := WalkTrusted(raw)
	for w.Next() {
		b.chain.writeByte(markPart)
		b.json(w.Value)
	}
}

// json writes a raw value without what spelling can vary, in its order.
func (b *Builder) json(raw []byte) {
	var s spelling
	s.write(&b.chain, raw)
	s.flush(&b.chain)
}

func (b *Builder) plain(s *Source) {
	if s.Messages != nil {
		b.messages(s.Messages)
	}
	b.prompts(s.Prompt)
	b.prompts(s.Input)
}

// prompts writes text, token ids, or a list of either.
func (b *Builder) prompts(raw []byte) {
	switch KindOf(raw) {
	case String:
		b.chain.text(raw)
	case Array:
		w := WalkTrusted(raw)
		for w.Next() {
			if KindOf(w.Value) == Number {
				b.id(w.Value)
				continue
			}
			if b.chain.total > 0 {
				b.chain.writeByte(markPart)
			}
			b.prompts(w.Value)
		}
	case Object:
		b.json(raw)
	}
}

// id writes a token id as four bytes, so that 64 ids make a block.
func (b *Builder) id(raw []byte) {
	var n uint32
	for _, c := range raw {
		n = n*10 + uint32(c-'0')
	}
	var four [4]byte
	binary.LittleEndian.PutUint32(four[:], n)
	b.chain.write(four[:])
	b.ids++
}

// open starts a message of role, unless one of the same role is open already and the role is the assistant's: its
// text and its tool calls may come as messages of their own (Responses), and are one turn.
func (b *Builder) open(role string) {
	b.args.flush(&b.chain)
	if role == assistant && b.role == assistant {
		return
	}
	b.role = role
	b.chain.writeByte(markMessage)
	b.chain.writeString(role)
	b.chain.writeByte(markText)
}

const assistant = "assistant"

// AnswerText extends the prompt by decoded answer text.
func (b *Builder) AnswerText(decoded []byte) {
	if len(decoded) == 0 {
		return
	}
	b.answer()
	b.args.flush(&b.chain)
	b.chain.write(decoded)
}

// AnswerTool extends the prompt by a tool call: the name comes with the first fragment of its arguments only.
func (b *Builder) AnswerTool(name, argsFragment []byte) {
	b.answer()
	if len(name) > 0 {
		b.call(name)
	}
	b.args.write(&b.chain, argsFragment)
}

// AnswerBlocks returns the full blocks beyond the prompt's, so far. They belong to the Builder, as Prompt.Blocks do.
func (b *Builder) AnswerBlocks() []uint64 { return b.chain.blocks[b.prompt:] }

func (b *Builder) answer() {
	if !b.answering {
		b.answering = true
		if b.role != "" {
			b.open(assistant)
		}
	}
}

// call starts a tool call of that name.
func (b *Builder) call(name []byte) {
	b.startCall()
	b.chain.write(name)
	b.chain.writeByte(markText)
}

func (b *Builder) startCall() {
	b.args.flush(&b.chain)
	b.args.reset()
	b.chain.writeByte(markTool)
}
