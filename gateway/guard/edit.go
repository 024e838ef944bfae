package guard

// edit replaces a piece of a text.
type edit struct {
	span
	text []byte
}

// apply returns body with the edits, which are in order and do not overlap; body itself if there are none.
func apply(body []byte, edits []edit) []byte {
	if len(edits) == 0 {
		return body
	}
	size := len(body)
	for i := range edits {
		size += len(edits[i].text)
	}
	out, at := make([]byte, 0, size), 0
	for i := range edits {
		out = append(append(out, body[at:edits[i].start]...), edits[i].text...)
		at = edits[i].end
	}
	return append(out, body[at:]...)
}
