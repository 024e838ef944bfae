package provider

import (
	"bytes"
	"slices"

	"github.com/warmlane/warmlane/tokenize"
)

// reshape returns the pieces of a JSON request as the kind takes it: fields renamed or taken out, all others as they were. The pieces
// are returned as they came when there is nothing to change. A field that is there under its new name already stays, the old one goes.
func (k *Kind) reshape(pieces [][]byte) [][]byte {
	if !k.Strict && !k.CountsUnasked && len(k.Renamed) == 0 {
		return pieces
	}
	body := pieces[0]
	if len(pieces) > 1 {
		body = bytes.Join(pieces, nil)
	}
	names, changes := k.fields(body)
	if !changes {
		return pieces
	}
	out := append(make([]byte, 0, len(body)+32), '{')
	w := tokenize.WalkTrusted(body)
	for end := bytes.IndexByte(body, '{') + 1; w.Next(); end = w.Offset + len(w.Value) {
		name, kept := k.nameOf(string(w.Key), names)
		if !kept {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		if name == "" {
			out = append(out, bytes.TrimLeft(body[end:w.Offset], ", \t\r\n")...)
		} else {
			out = append(append(append(out, '"'), name...), `":`...)
		}
		out = append(out, w.Value...)
	}
	return [][]byte{append(out, '}')}
}

// fields returns the names in the body, and whether one of them must change.
func (k *Kind) fields(body []byte) (names []string, changes bool) {
	w := tokenize.WalkTrusted(body)
	for w.Next() {
		names = append(names, string(w.Key))
	}
	for _, name := range names {
		if renamed, kept := k.nameOf(name, names); renamed != "" || !kept {
			return names, true
		}
	}
	return names, false
}

// nameOf returns the name of a field there, "" if it keeps its own, and whether it is sent at all.
func (k *Kind) nameOf(field string, all []string) (name string, kept bool) {
	switch name, renamed := k.Renamed[field]; {
	case renamed && (name == "" || slices.Contains(all, name)):
		return "", false
	case renamed:
		return name, true
	case k.CountsUnasked && field == "stream_options":
		return "", false
	case k.Strict && engineOnly(field) && !slices.Contains(k.Known, field):
		return "", false
	}
	return "", true
}
