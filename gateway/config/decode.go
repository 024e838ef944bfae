package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on a file, so that aliases that multiply or nest end in a fault.
const (
	maxDepth = 32
	maxNodes = 100_000
)

// decoder turns a YAML document into a Config and notes every fault and every place on its way.
type decoder struct {
	file    string
	dir     string // where ${file:} paths start
	read    files  // takes note of what ${file:} has read
	faults  Faults
	marks   map[string]mark     // path -> its place
	broken  map[string]bool     // paths whose value was not understood: nothing more is said about them
	anchors map[string]ast.Node // the anchors seen so far
	filled  map[string]string   // value -> the ${...} that stood for it; no fault may quote the value
	nodes   int                 // visited, up to maxNodes
	depth   int
}

func newDecoder(file, dir string, read files) *decoder {
	return &decoder{
		file: file, dir: dir, read: read,
		marks: map[string]mark{}, broken: map[string]bool{}, anchors: map[string]ast.Node{},
		filled: map[string]string{},
	}
}

// decode reads text into cfg, which holds the defaults.
func (d *decoder) decode(text []byte, cfg *Config) {
	d.marks[""] = mark{1, 1}
	file, err := parseYAML(text)
	if err != nil {
		d.syntax(err)
		return
	}
	docs := slices.DeleteFunc(file.Docs, func(doc *ast.DocumentNode) bool { return doc.Body == nil })
	switch {
	case len(docs) > 1:
		d.broken[""] = true
		d.at(start(docs[1].Body), "", "a second YAML document starts here", "keep one document in the file")
	case len(docs) == 1:
		d.value(docs[0].Body, "", reflect.ValueOf(cfg).Elem())
	}
}

// parseYAML guards against the parser's own panics: a broken file must end in a fault.
func parseYAML(text []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("cannot be read as YAML")
		}
	}()
	return parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
}

// syntax notes the parser's error. The library's own text quotes the source, which may hold secrets; its message does not.
func (d *decoder) syntax(err error) {
	d.broken[""] = true
	const remedy = "mind the indentation, and quote texts with special characters, such as \"${env:NAME}\" within [ ] or { }"
	var located interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &located) {
		d.at(located.GetToken(), "", "YAML: "+located.GetMessage(), remedy)
		return
	}
	d.at(nil, "", "YAML: "+err.Error(), remedy)
}

// at notes a fault at a token, or at the path's own place when there is no token.
func (d *decoder) at(tk *token.Token, path, message, remedy string) {
	m := d.marks[path]
	if tk != nil && tk.Position != nil {
		m = mark{tk.Position.Line, tk.Position.Column}
	}
	d.faults = append(d.faults, Fault{File: d.file, Line: m.line, Column: m.column, Path: path, Message: message, Remedy: remedy})
}

// reject notes a fault about the value at path.
func (d *decoder) reject(n ast.Node, path, message, remedy string) {
	d.broken[path] = true
	d.at(start(n), path, message, remedy)
}

// value decodes n into v. A null leaves the default.
func (d *decoder) value(n ast.Node, path string, v reflect.Value) {
	d.depth++
	defer func() { d.depth-- }()
	n, ok := d.resolve(n, path)
	if !ok {
		return
	}
	if _, marked := d.marks[path]; !marked {
		d.mark(path, start(n))
	}
	if n.Type() == ast.NullType {
		return
	}
	if parse := scalarParser(v); parse != nil {
		d.scalar(n, path, v, parse)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, path, v)
	case reflect.Slice:
		d.list(n, path, v)
	case reflect.Map:
		d.texts(n, path, v)
	case reflect.Interface:
		if x, ok := d.free(n, path); ok {
			v.Set(reflect.ValueOf(x))
		}
	default:
		panic("BUG: config has a field of kind " + v.Kind().String())
	}
}

// resolve follows anchors and aliases, and counts what it meets.
func (d *decoder) resolve(n ast.Node, path string) (ast.Node, bool) {
	for range maxDepth {
		if d.nodes++; d.nodes > maxNodes || d.depth > maxDepth {
			if !d.broken["\x00"] { // said once
				d.broken["\x00"] = true
				d.reject(n, path, "too many or too deeply nested values", "use fewer aliases")
			}
			return nil, false
		}
		switch t := n.(type) {
		case nil:
			return nil, false
		case *ast.AnchorNode:
			d.anchors[t.Name.GetToken().Value] = t.Value
			n = t.Value
		case *ast.AliasNode:
			name := t.Value.GetToken().Value
			target, ok := d.anchors[name]
			if !ok {
				d.reject(t, path, fmt.Sprintf("alias *%s has no anchor &%s above it", name, name), "define the anchor first")
				return nil, false
			}
			n = target
		case *ast.TagNode:
			d.reject(t, path, "YAML tags are not used here", "remove the tag "+t.GetToken().Value)
			return nil, false
		default:
			return n, true
		}
	}
	d.reject(n, path, "aliases that lead to each other", "use fewer aliases")
	return nil, false
}

// list decodes a sequence, element by element over the element's defaults.
func (d *decoder) list(n ast.Node, path string, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrongKind(n, path, "a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		p := path + "[" + strconv.Itoa(i) + "]"
		elem := out.Index(i)
		setElementDefault(elem)
		if item == nil || item.Type() == ast.NullType {
			d.marks[p] = mark{seq.Start.Position.Line, seq.Start.Position.Column}
			d.reject(item, p, "an empty list entry", "give it a value or remove it")
			continue
		}
		d.value(item, p, elem)
	}
	v.Set(out)
}

// texts decodes a mapping of texts.
func (d *decoder) texts(n ast.Node, path string, v reflect.Value) {
	pairs, ok := d.pairs(n, path)
	if !ok {
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(pairs))
	for _, p := range pairs {
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(p.value, join(path, p.name), elem)
		out.SetMapIndex(reflect.ValueOf(p.name), elem)
	}
	v.Set(out)
}

// free decodes what only its user can judge: the parameters of a policy.
func (d *decoder) free(n ast.Node, path string) (any, bool) {
	switch t := n.(type) {
	case *ast.SequenceNode:
		out := make([]any, len(t.Values))
		for i, item := range t.Values {
			d.value(item, path+"["+strconv.Itoa(i)+"]", reflect.ValueOf(&out[i]).Elem())
		}
		return out, true
	case ast.MapNode:
		pairs, ok := d.pairs(n, path)
		out := make(map[string]any, len(pairs))
		for _, p := range pairs {
			var x any
			d.value(p.value, join(path, p.name), reflect.ValueOf(&x).Elem())
			out[p.name] = x
		}
		return out, ok
	case *ast.BoolNode:
		return t.Value, true
	case *ast.IntegerNode, *ast.FloatNode:
		text := t.GetToken().Value
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i, true
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f, true
		}
	}
	text, _, ok := d.text(n, path, "a text, number, bool, list or mapping")
	return text, ok
}

// wrongKind notes that n is not what is wanted.
func (d *decoder) wrongKind(n ast.Node, path, want string) {
	remedy := "write one value, without [ ] or { }"
	switch want {
	case "a list":
		remedy = "write its entries within [ ], or each in a line of its own after a -"
	case "a mapping":
		remedy = "write its keys in lines of their own below it, as KEY: VALUE, or within { }"
	}
	d.reject(n, path, fmt.Sprintf("expected %s, found %s", want, kindOf(n)), remedy)
}

// kindOf names what n is, in the words of the file's author.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "a mapping"
	case *ast.BoolNode:
		return "a bool"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.NullNode:
		return "nothing"
	default:
		return "a text"
	}
}

// mark notes where path is.
func (d *decoder) mark(path string, tk *token.Token) {
	if tk != nil && tk.Position != nil {
		d.marks[path] = mark{tk.Position.Line, tk.Position.Column}
	}
}

// start returns the first token of n: a block mapping starts with its first key, not with the colon.
func start(n ast.Node) *token.Token {
	switch t := n.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		if !t.IsFlowStyle && len(t.Values) > 0 {
			return start(t.Values[0])
		}
	case *ast.MappingValueNode:
		return t.Key.GetToken()
	}
	return n.GetToken()
}

// join appends a key to a path.
func join(path, key string) string {
	if strings.ContainsAny(key, ".[] ") {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
