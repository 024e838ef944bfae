package tokenize

// messages writes a list of messages or response items.
func (b *Builder) messages(raw []byte) {
	w := WalkTrusted(raw)
	if w.Kind() != Array {
		return
	}
	for w.Next() {
		if KindOf(w.Value) == Object {
			b.message(w.Value)
		}
	}
}

// fields are the members of a message or response item that a template renders, whatever their order was.
type fields struct {
	kind, role, name, content, calls, arguments, input, output []byte
}

func fieldsOf(raw []byte) (f fields) {
	w := WalkTrusted(raw)
	for w.Next() {
		switch string(w.Key) {
		case "type":
			f.kind = w.Value
		case "role":
			f.role = w.Value
		case "name":
			f.name = w.Value
		case "content":
			f.content = w.Value
		case "tool_calls":
			f.calls = w.Value
		case "arguments":
			f.arguments = w.Value
		case "input":
			f.input = w.Value
		case "output":
			f.output = w.Value
		case "function_call": // the form before tool_calls
			if f.calls == nil && KindOf(w.Value) == Object {
				f.calls = w.Value
			}
		}
	}
	return f
}

func (b *Builder) message(raw []byte) {
	f := fieldsOf(raw)
	switch {
	case f.kind == nil || TextIs(f.kind, "message"):
	case TextIs(f.kind, "function_call"):
		b.open(assistant)
		b.toolCall(f.name, f.arguments)
		return
	case TextIs(f.kind, "function_call_output"):
		b.open("tool")
		b.content(f.output)
		return
	case TextIs(f.kind, "reasoning"):
		return // an answer's reasoning is not part of later prompts
	case f.role == nil:
		b.open("item")
		b.media(valueHash(raw))
		return
	}
	b.open(roleName(f.role))
	if KindOf(f.name) == String {
		b.chain.text(f.name)
		b.chain.writeByte(markText)
	}
	b.content(f.content)
	b.calls(f.calls)
}

// roleName returns the role; the usual ones without an allocation.
func roleName(raw []byte) string {
	for _, role := range [...]string{"user", assistant, "system", "tool", "developer"} {
		if TextIs(raw, role) {
			return role
		}
	}
	return "?" + StringOf(raw)
}

// content writes what a message says: text, or a list of parts. Text and a list of text parts read alike.
func (b *Builder) content(raw []byte) {
	switch KindOf(raw) {
	case String:
		b.chain.text(raw)
	case Array:
		w := WalkTrusted(raw)
		for w.Next() {
			b.part(w.Value)
		}
	case Object:
		b.json(raw)
	}
}

func (b *Builder) part(raw []byte) {
	if KindOf(raw) == String {
		b.chain.text(raw)
		return
	}
	kind := Find(raw, "type")
	switch {
	case TextIs(kind, "text"), TextIs(kind, "input_text"), TextIs(kind, "output_text"):
		b.chain.text(Find(raw, "text"))
	case TextIs(kind, "refusal"):
		b.chain.text(Find(raw, "refusal"))
	case TextIs(kind, "thinking"), TextIs(kind, "redacted_thinking"), TextIs(kind, "reasoning"):
		// not part of later prompts
	case TextIs(kind, "tool_use"):
		f := fieldsOf(raw)
		b.toolCall(f.name, f.input)
	case TextIs(kind, "tool_result"):
		b.chain.writeByte(markPart)
		b.content(Find(raw, "content"))
	default:
		b.media(valueHash(raw))
	}
}

// calls writes the tool calls of a chat message.
func (b *Builder) calls(raw []byte) {
	switch KindOf(raw) {
	case Object: // function_call
		f := fieldsOf(raw)
		b.toolCall(f.name, f.arguments)
	case Array:
		w := WalkTrusted(raw)
		for w.Next() {
			f := fieldsOf(Find(w.Value, "function"))
			b.toolCall(f.name, f.arguments)
		}
	}
}

// toolCall writes a tool call. Arguments may be an object, or a string that holds its JSON; both read alike.
func (b *Builder) toolCall(name, arguments []byte) {
	b.startCall()
	b.chain.text(name)
	b.chain.writeByte(markText)
	if KindOf(arguments) == String {
		t := TextOf(arguments)
		for p := t.Next(); p != nil; p = t.Next() {
			b.args.write(&b.chain, p)
		}
	} else {
		b.args.write(&b.chain, arguments)
	}
	b.args.flush(&b.chain)
}

// media writes an image, a sound or another part that is no text, by its hash.
func (b *Builder) media(hash uint64) {
	b.chain.writeByte(markMedia)
	var eight [8]byte
	for i := range eight {
		eight[i] = byte(hash >> (8 * i))
	}
	times := mediaBytes / len(eight)
	if b.parts++; b.parts > maxMedia {
		times = 1
	}
	for range times {
		b.chain.write(eight[:])
	}
}
