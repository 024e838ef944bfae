package config

import (
	"fmt"
	"regexp"
	"strings"
)

// maxWords bounds a file of words.
const maxWords = 64 << 20

func (c *checker) guard(rules []GuardRule) {
	c.names("guard", len(rules), func(i int) string { return rules[i].Name })
	for i := range rules {
		r, at := &rules[i], fmt.Sprintf("guard[%d]", i)
		c.match(at+".match", &r.Match)
		c.oneOf(at+".action", r.Action, GuardActions())
		c.oneOf(at+".refuse", r.Refuse, []string{"error", "answer"})
		c.someOf(at+".check", r.Check, []string{"input", "output"})
		c.someOf(at+".detect", r.Detect, GuardForms())
		c.nonEmpty(at+".words", r.Words)
		for j, path := range r.Words {
			if _, err := c.cfg.files.open(path, maxWords); err != nil && path != "" {
				c.fault(fmt.Sprintf("%s.words[%d]", at, j), fmt.Sprintf("file %s cannot be used: %v", path, err), "create it, with a word or phrase a line, or correct the path")
			}
		}
		c.nonEmpty(at+".regex", r.Regex)
		for j, expr := range r.Regex {
			c.expression(fmt.Sprintf("%s.regex[%d]", at, j), expr)
		}
		c.guardRule(at, r)
	}
}

// guardRule checks that the parts of a rule belong together.
func (c *checker) guardRule(at string, r *GuardRule) {
	if len(r.Check) == 0 {
		c.fault(at+".check", "the rule looks at nothing", "write check: [input, output]")
	}
	if len(r.Words)+len(r.Regex)+len(r.Detect) == 0 && r.Moderation.URL == "" {
		c.fault(at, "the rule looks for nothing", "write words: [FILE], regex: [EXPRESSION] or detect: [phone, email], or a moderation.url")
	}
	if r.Action == "restore" && len(r.Check) > 0 && !r.Checks("input") {
		c.fault(at+".action", "only what was taken out of the input can be restored", "check the input, or write action: mask")
	}
	if r.Mask != "" && r.Action != "mask" {
		c.fault(at+".mask", fmt.Sprintf("action %s masks nothing", r.Action), "remove it, or write action: mask")
	}
	if strings.ContainsAny(r.Mask, "\"\\\n\r\t") {
		c.fault(at+".mask", "a mask stands in JSON, also in JSON within JSON", "leave out quotes, backslashes and line ends")
	}
	c.moderation(at+".moderation", r)
	if r.Message == "" {
		c.fault(at+".message", "the message is empty", "write what the caller shall read, or leave the key out for the default")
	}
	if r.LookBack < 16 || r.LookBack > 64<<10 {
		c.fault(at+".look_back", "must be 16B to 64KiB", "write the length of the longest match, such as 512B")
	}
}

// moderation checks a service and what can be done by its word.
func (c *checker) moderation(at string, r *GuardRule) {
	m := &r.Moderation
	c.positive(at+".timeout", m.Timeout)
	c.nonEmpty(at+".categories", m.Categories)
	c.oneOf(at+".on_failure", m.OnFailure, []string{"deny", "pass"})
	if m.Every < 64 || m.Every > 1<<20 {
		c.fault(at+".every", "must be 64B to 1MiB", "write a size such as 1KiB")
	}
	if m.URL == "" {
		return
	}
	c.url(at+".url", m.URL)
	if r.Action != "deny" && r.Action != "log" {
		c.fault(at, fmt.Sprintf("a service finds no places, so action %s cannot be done", r.Action), "write action: deny or log, and another rule for the rest")
	}
}

// expression checks a regular expression.
func (c *checker) expression(path, expr string) {
	if expr == "" {
		return
	}
	re, err := regexp.Compile(expr)
	switch {
	case err != nil:
		c.fault(path, err.Error(), "write an expression of RE2's syntax: https://github.com/google/re2/wiki/Syntax")
	case re.MatchString(""):
		c.fault(path, "the expression matches where there is nothing", "write + in the place of *, or what must stand beside it")
	}
}

// someOf checks that every entry of a list is one of the words that a key knows, and there once.
func (c *checker) someOf(path string, list, known []string) {
	for i, word := range list {
		c.oneOf(fmt.Sprintf("%s[%d]", path, i), word, known)
	}
	c.nonEmpty(path, list)
}
