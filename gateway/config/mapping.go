package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// pair is one key of a mapping.
type pair struct {
	key   ast.MapKeyNode
	name  string
	value ast.Node
}

// pairs returns the keys of a mapping in order, those of merged (<<) mappings last. Keys that appear twice are faults.
func (d *decoder) pairs(n ast.Node, path string) ([]pair, bool) {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.wrongKind(n, path, "a mapping")
		return nil, false
	}
	var own, merged []pair
	lines := map[string]int{}
	for it := m.MapRange(); it.Next(); {
		if it.Key().IsMergeKey() {
			merged = append(merged, d.merged(it.Value(), path)...)
			continue
		}
		tk := it.Key().GetToken()
		name := keyName(it.Key())
		if line, twice := lines[name]; twice {
			d.at(tk, join(path, name), fmt.Sprintf("key %q is here a second time, first in line %d", name, line), "keep one of them")
			continue
		}
		lines[name] = tk.Position.Line
		own = append(own, pair{it.Key(), name, it.Value()})
	}
	for _, p := range merged {
		if _, set := lines[p.name]; !set {
			lines[p.name] = 0
			own = append(own, p)
		}
	}
	return own, true
}

// merged returns the keys that a merge key brings in.
func (d *decoder) merged(n ast.Node, path string) []pair {
	d.depth++
	defer func() { d.depth-- }()
	n, ok := d.resolve(n, path)
	if !ok {
		return nil
	}
	if seq, ok := n.(*ast.SequenceNode); ok {
		var all []pair
		for _, item := range seq.Values {
			all = append(all, d.merged(item, path)...)
		}
		return all
	}
	pairs, _ := d.pairs(n, path)
	return pairs
}

// keyName returns the text of a key.
func keyName(key ast.MapKeyNode) string {
	if s, ok := key.(*ast.StringNode); ok {
		return s.Value
	}
	return key.GetToken().Value
}

// field is one key of a struct.
type field struct {
	name   string
	index  int
	scalar bool // a scalar in place of the whole struct sets this field
	one    bool // one value stands for a list of one
	params bool // takes all other keys
}

// fields returns the keys of a struct type.
func fields(t reflect.Type) []field {
	var fs []field
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		fs = append(fs, field{
			name: name, index: i,
			scalar: options == "scalar", one: options == "one", params: options == "params",
		})
	}
	return fs
}

// structure decodes a mapping into a struct, or a scalar into the one field that stands for it.
func (d *decoder) structure(n ast.Node, path string, v reflect.Value) {
	fs := fields(v.Type())
	if _, isMap := n.(ast.MapNode); !isMap {
		i := slices.IndexFunc(fs, func(f field) bool { return f.scalar })
		if _, isScalar := n.(ast.ScalarNode); i < 0 || !isScalar {
			d.wrongKind(n, path, "a mapping")
			return
		}
		p := join(path, fs[i].name)
		d.marks[p] = d.marks[path]
		d.value(n, p, v.Field(fs[i].index))
		return
	}
	pairs, _ := d.pairs(n, path)
	for _, p := range pairs {
		d.key(p, path, fs, v)
	}
}

// key decodes one key of a mapping into its field.
func (d *decoder) key(p pair, path string, fs []field, v reflect.Value) {
	at := join(path, p.name)
	i := slices.IndexFunc(fs, func(f field) bool { return f.name == p.name && !f.params })
	if i < 0 {
		i = slices.IndexFunc(fs, func(f field) bool { return f.params })
	}
	if i < 0 {
		d.at(p.key.GetToken(), at, fmt.Sprintf("unknown key %q", p.name), suggestKey(p.name, fs))
		return
	}
	if _, isScalar := p.value.(ast.ScalarNode); !isScalar || p.value.Type() == ast.NullType {
		d.mark(at, p.key.GetToken())
	}
	target := v.Field(fs[i].index)
	switch {
	case fs[i].params:
		var x any
		d.value(p.value, at, reflect.ValueOf(&x).Elem())
		if target.IsNil() {
			target.Set(reflect.MakeMap(target.Type()))
		}
		target.SetMapIndex(reflect.ValueOf(p.name), reflect.ValueOf(&x).Elem())
	case fs[i].one && !isList(p.value):
		list := reflect.MakeSlice(target.Type(), 1, 1)
		d.marks[at+"[0]"] = place(p.value)
		d.value(p.value, at+"[0]", list.Index(0))
		target.Set(list)
	default:
		d.value(p.value, at, target)
	}
}

// isList reports whether n is a list or may lead to one.
func isList(n ast.Node) bool {
	switch n.(type) {
	case *ast.SequenceNode, *ast.AliasNode, *ast.AnchorNode, *ast.NullNode:
		return true
	}
	return false
}

// place returns where n starts.
func place(n ast.Node) mark {
	if tk := start(n); tk != nil && tk.Position != nil {
		return mark{tk.Position.Line, tk.Position.Column}
	}
	return mark{}
}

// suggestKey returns the remedy for an unknown key.
func suggestKey(name string, fs []field) string {
	if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		return "put the URL in quotes: within [ ] and { } its colon is read as the end of a key"
	}
	var known []string
	for _, f := range fs {
		if !f.params {
			known = append(known, f.name)
		}
	}
	return suggest(name, known, "known here: ")
}
