package config

import (
	"regexp"
	"strings"
	"sync"
)

// regexPrefix begins a pattern that is a regular expression.
const regexPrefix = "regex:"

// expressions are the compiled ones of all patterns seen: those of configuration files, so they are few.
var expressions sync.Map

// Fits reports whether text is what pattern stands for: a glob, or after regex: an RE2 expression, which may match anywhere in text.
func Fits(pattern, text string) bool {
	source, isRegex := strings.CutPrefix(pattern, regexPrefix)
	if !isRegex {
		return Glob(pattern, text)
	}
	known, ok := expressions.Load(source)
	if !ok {
		re, err := regexp.Compile(source)
		if err != nil {
			return false // the check of the file has refused it
		}
		known, _ = expressions.LoadOrStore(source, re)
	}
	return known.(*regexp.Regexp).MatchString(text) //nolint:errcheck // nothing else is put there
}

func isRegex(pattern string) bool { return strings.HasPrefix(pattern, regexPrefix) }

// badPattern returns what is wrong with a pattern, "" if it can be used.
func badPattern(pattern string) string {
	if source, ok := strings.CutPrefix(pattern, regexPrefix); ok {
		if _, err := regexp.Compile(source); err != nil {
			return err.Error()
		}
	}
	return ""
}

// Cookie returns the value of a cookie by the header Cookie.
func Cookie(h Headers, name string) (value string, ok bool) {
	if h == nil {
		return "", false
	}
	for pair := range strings.SplitSeq(textOf(h.Peek("Cookie")), ";") {
		if key, value, found := strings.Cut(strings.TrimSpace(pair), "="); found && key == name {
			return value, true
		}
	}
	return "", false
}
