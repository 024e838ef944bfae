package api

import (
	"strings"

	"github.com/warmlane/warmlane/tokenize"
)

// LaneKind is what kind of text an answer says.
type LaneKind uint8

// The kinds of text.
const (
	LaneText      LaneKind = iota
	LaneReasoning          // reasoning_content, thinking
	LaneReason             // reasoning, which some engines send beside reasoning_content
	LaneRefusal
	LaneArguments // of a tool call: JSON
	LaneCall      // arguments of a function_call
)

// Lane is one of the texts that an answer consists of.
type Lane struct {
	Kind LaneKind
	// Part is the choice, the content block or the output item that it belongs to; Index tells the texts of one kind in it apart.
	Part, Index int
}

// Piece is a piece of a lane: a JSON string in an event's data or in an answer.
type Piece struct {
	Lane
	// Start and End are where the value lies, quotes included.
	Start, End int
	// Whole says that it is the whole text of its lane, not what comes after the pieces before.
	Whole bool
	// Erase is what may stand in the place of a value that tells the text in another way, such as log probabilities; "" for texts.
	Erase string
}

// Pieces are the texts of one event or one answer, in the order in which they lie there.
type Pieces struct {
	List []Piece
	// Ended are the parts that end with this event, and AllEnded says that all do.
	Ended    []int
	AllEnded bool
}

// Event finds the texts in the data of an event of family f. name is what its event line says.
func (p *Pieces) Event(f Family, name string, data []byte) {
	*p = Pieces{List: p.List[:0], Ended: p.Ended[:0]}
	switch f {
	case Chat, Completions:
		p.choices(data)
	case Messages:
		p.block(data, typeOf(data, name))
	case Transcriptions, Translations:
		if tokenize.KindOf(tokenize.Find(data, "choices")) == tokenize.Array {
			p.choices(data)
		} else {
			p.item(data, typeOf(data, name))
		}
	case Responses, ResponseByID:
		p.item(data, typeOf(data, name))
	}
}

// Answer finds the texts in an answer that is not a stream.
func (p *Pieces) Answer(f Family, body []byte) {
	*p = Pieces{List: p.List[:0], Ended: p.Ended[:0]}
	switch f {
	case Chat, Completions:
		p.choices(body)
		for i := range p.List {
			p.List[i].Whole = true
		}
	case Messages, Responses, ResponseByID, Transcriptions, Translations:
		p.wholes(body, 0, "")
	}
}

func typeOf(data []byte, name string) string {
	if kind := tokenize.StringOf(tokenize.Find(data, "type")); kind != "" {
		return kind
	}
	return name
}

func (p *Pieces) add(l Lane, raw []byte, at int) {
	if tokenize.KindOf(raw) == tokenize.String {
		p.List = append(p.List, Piece{Lane: l, Start: at, End: at + len(raw)})
	}
}

// choices reads the choices of chat and completions.
func (p *Pieces) choices(data []byte) {
	for w := tokenize.WalkTrusted(data); w.Next(); {
		if string(w.Key) != "choices" || tokenize.KindOf(w.Value) != tokenize.Array {
			continue
		}
		at := w.Offset
		for c := tokenize.WalkTrusted(w.Value); c.Next(); {
			if tokenize.KindOf(c.Value) == tokenize.Object {
				p.choice(c.Value, at+c.Offset)
			}
		}
	}
}

func (p *Pieces) choice(raw []byte, at int) {
	part := number(tokenize.Find(raw, "index"), 0)
	for w := tokenize.WalkTrusted(raw); w.Next(); {
		switch string(w.Key) {
		case "text":
			p.add(Lane{Part: part}, w.Value, at+w.Offset)
		case "delta", "message":
			if tokenize.KindOf(w.Value) == tokenize.Object {
				p.delta(part, w.Value, at+w.Offset)
			}
		case "logprobs", "token_ids":
			if !absent(w.Value) {
				p.List = append(p.List, Piece{Start: at + w.Offset, End: at + w.Offset + len(w.Value), Erase: "null"})
			}
		case "finish_reason":
			if tokenize.KindOf(w.Value) == tokenize.String && len(w.Value) > 2 {
				p.Ended = append(p.Ended, part)
			}
		}
	}
}

func (p *Pieces) delta(part int, raw []byte, at int) {
	for w := tokenize.WalkTrusted(raw); w.Next(); {
		switch at := at + w.Offset; string(w.Key) {
		case "content":
			p.add(Lane{Part: part}, w.Value, at)
		case "reasoning_content":
			p.add(Lane{LaneReasoning, part, 0}, w.Value, at)
		case "reasoning":
			p.add(Lane{LaneReason, part, 0}, w.Value, at)
		case "refusal":
			p.add(Lane{LaneRefusal, part, 0}, w.Value, at)
		case "function_call":
			p.arguments(Lane{LaneCall, part, 0}, w.Value, at)
		case "tool_calls":
			p.calls(part, w.Value, at)
		}
	}
}

func (p *Pieces) calls(part int, raw []byte, at int) {
	if tokenize.KindOf(raw) != tokenize.Array {
		return
	}
	n := 0
	for w := tokenize.WalkTrusted(raw); w.Next(); n++ {
		if tokenize.KindOf(w.Value) != tokenize.Object {
			continue
		}
		lane := Lane{LaneArguments, part, number(tokenize.Find(w.Value, "index"), n)}
		for f := tokenize.WalkTrusted(w.Value); f.Next(); {
			if string(f.Key) == "function" {
				p.arguments(lane, f.Value, at+w.Offset+f.Offset)
			}
		}
	}
}

func (p *Pieces) arguments(l Lane, raw []byte, at int) {
	if tokenize.KindOf(raw) != tokenize.Object {
		return
	}
	for w := tokenize.WalkTrusted(raw); w.Next(); {
		if string(w.Key) == "arguments" {
			p.add(l, w.Value, at+w.Offset)
		}
	}
}

// block reads an event of messages.
func (p *Pieces) block(data []byte, kind string) {
	part := number(tokenize.Find(data, "index"), 0)
	switch kind {
	case "content_block_start", "content_block_delta":
		for w := tokenize.WalkTrusted(data); w.Next(); {
			if name := string(w.Key); (name != "content_block" && name != "delta") || tokenize.KindOf(w.Value) != tokenize.Object {
				continue
			}
			at := w.Offset
			for m := tokenize.WalkTrusted(w.Value); m.Next(); {
				switch string(m.Key) {
				case "text":
					p.add(Lane{Part: part}, m.Value, at+m.Offset)
				case "thinking":
					p.add(Lane{LaneReasoning, part, 0}, m.Value, at+m.Offset)
				case "partial_json":
					p.add(Lane{LaneArguments, part, 0}, m.Value, at+m.Offset)
				}
			}
		}
	case "content_block_stop":
		p.Ended = append(p.Ended, part)
	case "message_delta", "message_stop":
		p.AllEnded = true
	}
}

// item reads an event of responses, or of a transcription.
func (p *Pieces) item(data []byte, kind string) {
	part := number(tokenize.Find(data, "output_index"), 0)
	if !strings.HasSuffix(kind, ".delta") {
		p.wholes(data, 0, "")
		if strings.HasSuffix(kind, ".done") {
			p.Ended = append(p.Ended, part)
		}
		p.AllEnded = kind == "response.completed" || kind == "response.incomplete" || kind == "response.failed" || kind == "transcript.text.done"
		return
	}
	lane := Lane{Part: part, Index: number(tokenize.Find(data, "content_index"), number(tokenize.Find(data, "summary_index"), 0))}
	switch {
	case strings.HasPrefix(kind, "response.reasoning_summary"):
		lane.Kind = LaneReason
	case strings.HasPrefix(kind, "response.reasoning"):
		lane.Kind = LaneReasoning
	case strings.HasPrefix(kind, "response.refusal"):
		lane.Kind = LaneRefusal
	case strings.Contains(kind, "arguments"):
		lane.Kind = LaneArguments
	}
	for w := tokenize.WalkTrusted(data); w.Next(); {
		switch string(w.Key) {
		case "delta":
			p.add(lane, w.Value, w.Offset)
		case "logprobs":
			p.erase(w.Value, w.Offset)
		}
	}
}

// erase takes a list that is not empty out of the answer.
func (p *Pieces) erase(raw []byte, at int) {
	if tokenize.KindOf(raw) == tokenize.Array && len(raw) > 2 {
		p.List = append(p.List, Piece{Start: at, End: at + len(raw), Erase: "[]"})
	}
}

// wholes finds the texts of an answer or of an item, wherever they stand. Within the input of a tool call every string is one.
func (p *Pieces) wholes(raw []byte, at int, name string) {
	switch tokenize.KindOf(raw) {
	case tokenize.String:
		kind := LaneText
		switch name {
		case "arguments":
			kind = LaneArguments
		case "text", "refusal", "thinking", "reasoning", "input", "transcript", "word":
		default:
			return
		}
		p.List = append(p.List, Piece{Lane: Lane{Kind: kind}, Start: at, End: at + len(raw), Whole: true})
	case tokenize.Array:
		if name == "logprobs" {
			p.erase(raw, at)
			return
		}
		for w := tokenize.WalkTrusted(raw); w.Next(); {
			p.wholes(w.Value, at+w.Offset, name)
		}
	case tokenize.Object:
		for w := tokenize.WalkTrusted(raw); w.Next(); {
			key := string(w.Key)
			if name == "input" {
				key = name
			}
			if key != "tools" && key != "metadata" && key != "instructions" {
				p.wholes(w.Value, at+w.Offset, key)
			}
		}
	}
}
