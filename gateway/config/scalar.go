package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// complaint says what is wrong with a scalar, without its value: "is not a duration".
type complaint struct{ what, remedy string }

// scalarParser returns how v is read from the text of a scalar, nil if v is not a scalar.
func scalarParser(v reflect.Value) func(text string) *complaint {
	switch t := v.Addr().Interface().(type) {
	case *Duration:
		return t.parse
	case *Size:
		return t.parse
	case *Time:
		return t.parse
	case *Rate:
		return t.parse
	case *Spend:
		return t.parse
	case *Secret:
		return t.parse
	case *Auth:
		return t.parse
	case *By:
		return t.parse
	case *FailedBy:
		return t.parse
	case *netip.Prefix:
		return func(text string) *complaint { return parsePrefix(text, t) }
	case *string:
		return func(text string) *complaint { *t = text; return nil }
	case *bool:
		return func(text string) *complaint { return parseBool(text, t) }
	case *int:
		return func(text string) *complaint { return parseInt(text, t) }
	case *float64:
		return func(text string) *complaint { return parseFloat(text, t) }
	}
	return nil
}

// scalar decodes one scalar. Plain texts and secrets must be texts in YAML, numbers and bools must not be quoted;
// a value that was filled in from ${env:} or ${file:} may be either.
func (d *decoder) scalar(n ast.Node, path string, v reflect.Value, parse func(string) *complaint) {
	want := wanted(v)
	text, filled, ok := d.text(n, path, want)
	if !ok {
		return
	}
	isText := n.Type() == ast.StringType || n.Type() == ast.LiteralType
	switch v.Interface().(type) {
	case string, Secret:
		if !isText {
			d.reject(n, path, fmt.Sprintf("expected a text, found %s", kindOf(n)), "put it in quotes")
			return
		}
	case int, float64, bool:
		if isText && !filled {
			d.reject(n, path, fmt.Sprintf("expected %s, found a text", want), "write it without quotes or unit")
			return
		}
	}
	if c := parse(text); c != nil {
		d.reject(n, path, fmt.Sprintf("%s %s", quoteSource(n, v), c.what), c.remedy)
	}
}

// text returns the text of a scalar node with ${...} filled in, and whether there was something to fill in.
func (d *decoder) text(n ast.Node, path, want string) (text string, filled, ok bool) {
	var raw string
	switch t := n.(type) {
	case *ast.StringNode:
		raw = t.Value
	case *ast.LiteralNode:
		raw = t.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, false, true
	default:
		d.wrongKind(n, path, want)
		return "", false, false
	}
	text, filled, c := fill(raw, d.dir, d.read, d.filled)
	if c != nil {
		d.reject(n, path, c.what, c.remedy)
		return "", false, false
	}
	return text, filled, true
}

// quoteSource returns the value as the file has it, never what ${...} stands for, and no secret at all.
func quoteSource(n ast.Node, v reflect.Value) string {
	if _, secret := v.Interface().(Secret); secret {
		return "the secret"
	}
	source := n.GetToken().Value
	if s, ok := n.(*ast.StringNode); ok {
		source = s.Value
	}
	if len(source) > 80 {
		source = source[:80] + "..."
	}
	return strconv.Quote(source)
}

// wanted names the kind of scalar that v takes.
func wanted(v reflect.Value) string {
	switch v.Interface().(type) {
	case Duration:
		return "a duration"
	case Size:
		return "a size"
	case Time:
		return "a time"
	case Rate:
		return "a rate"
	case bool:
		return "true or false"
	case int:
		return "a whole number"
	case float64:
		return "a number"
	default:
		return "a text"
	}
}

func parseBool(text string, to *bool) *complaint {
	switch text {
	case "true", "True", "TRUE":
		*to = true
	case "false", "False", "FALSE":
		*to = false
	default:
		return &complaint{"is not a bool", "write true or false"}
	}
	return nil
}

func parseInt(text string, to *int) *complaint {
	i, err := strconv.Atoi(text)
	if err != nil {
		return &complaint{"is not a whole number", "write digits only"}
	}
	*to = i
	return nil
}

func parseFloat(text string, to *float64) *complaint {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f-f != 0 { // infinities and NaN
		return &complaint{"is not a finite number", "write a number such as 1.5"}
	}
	*to = f
	return nil
}

func parsePrefix(text string, to *netip.Prefix) *complaint {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		*to = netip.PrefixFrom(addr, addr.BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return &complaint{"is not a network", "write an address or a network such as 10.0.0.0/8"}
	}
	*to = prefix.Masked()
	return nil
}
