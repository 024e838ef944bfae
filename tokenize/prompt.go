package tokenize

// BlockBytes is the canonical length of one block of a prompt, about 64 tokens.
const BlockBytes = 256

// Form says how the spans of a [Source] make a prompt.
type Form uint8

// The forms of a prompt, one for each way an API spells it.
const (
	// Plain is text that no template wraps: embeddings, rerank, speech. Prompt, then Input are hashed as they are.
	Plain Form = iota
	// Chat is OpenAI's chat/completions: Messages and Tools.
	Chat
	// Completion is OpenAI's completions: Prompt.
	Completion
	// Responses is OpenAI's responses: Instructions, Input and Tools.
	Responses
	// Messages is Anthropic's messages: System, Messages and Tools.
	Messages
)

// Source is what makes a prompt, as spans of an already validated JSON body: raw JSON values, nil where absent.
type Source struct {
	// Form says which of the spans count and how.
	Form Form
	// Model is the name the engine will see. Adapters (LoRA) of one base model differ by it.
	Model string
	// Salt is the raw cache_salt value. Prompts of different salts never share a block.
	Salt []byte
	// Messages, System, Instructions, Tools, Prompt and Input are the request's members of those names.
	Messages, System, Instructions, Tools, Prompt, Input []byte
	// TemplateArgs is the raw chat_template_kwargs value. Like Salt it separates prompts from the first block on.
	TemplateArgs []byte
	// Documents is the raw documents value, rendered before the messages.
	Documents []byte
}

// Prompt is a canonical prompt: its size and the hash chain of its full blocks.
type Prompt struct {
	// Bytes is the canonical length.
	Bytes int
	// Tokens is the estimated number of tokens, at least 1.
	Tokens int
	// Blocks is the hash chain of the full blocks: each hash stands for its block and everything before it.
	Blocks []uint64
}

// TokensIn returns the tokens of the first n blocks, never more than p.Tokens.
func (p *Prompt) TokensIn(blocks int) int {
	if blocks <= 0 || p.Bytes <= 0 {
		return 0
	}
	return min(p.Tokens, int(float64(blocks)*BlockBytes*float64(p.Tokens)/float64(p.Bytes)))
}
