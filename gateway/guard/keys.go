package guard

import "bytes"

// keyForm is the form of the secrets of one service.
type keyForm struct {
	prefix      string
	least, most int  // characters after the prefix
	dashes      bool // - and _ are among them
}

// keyForms are the forms that begin with a sign of their own, from the services' documentation.
func keyForms() []keyForm {
	return []keyForm{
		{"sk-", 20, 250, true},   // OpenAI, Anthropic, DeepSeek, DashScope, Moonshot
		{"AKIA", 16, 16, false},  // Amazon
		{"ASIA", 16, 16, false},  // Amazon, temporary
		{"LTAI", 12, 26, false},  // Alibaba Cloud
		{"AKID", 32, 32, false},  // Tencent Cloud
		{"AIza", 35, 35, true},   // Google
		{"ghp_", 36, 250, false}, // GitHub, also gho_, ghu_, ghs_, ghr_
		{"gho_", 36, 250, false},
		{"ghu_", 36, 250, false},
		{"ghs_", 36, 250, false},
		{"ghr_", 36, 250, false},
		{"github_pat_", 22, 250, true},
		{"glpat-", 20, 250, true}, // GitLab
		{"hf_", 30, 60, false},    // Hugging Face
		{"xoxb-", 10, 250, true},  // Slack, also xoxa-, xoxp-, xoxr-, xoxs-
		{"xoxa-", 10, 250, true},
		{"xoxp-", 10, 250, true},
		{"xoxr-", 10, 250, true},
		{"xoxs-", 10, 250, true},
	}
}

// keys finds secrets of known forms that hold a letter and a digit.
type keys struct{ forms []keyForm }

func (k *keys) match(b []byte, i int) int {
	for f := range k.forms {
		form := &k.forms[f]
		if b[i] != form.prefix[0] || !bytes.HasPrefix(b[i:], []byte(form.prefix)) {
			continue
		}
		body := form.body(b[i+len(form.prefix):])
		if len(body) >= form.least && len(body) <= form.most && mixed(body) {
			return i + len(form.prefix) + len(body)
		}
	}
	return 0
}

// body returns the characters after the prefix.
func (f *keyForm) body(b []byte) []byte {
	n := 0
	for n < len(b) && n <= f.most && (isAlnum(b[n]) || f.dashes && (b[n] == '-' || b[n] == '_')) {
		n++
	}
	return b[:n]
}

func mixed(b []byte) bool {
	return bytes.ContainsAny(b, "0123456789") && bytes.ContainsFunc(b, func(r rune) bool { return isLetter(byte(r)) })
}

func (k *keys) pending(b []byte, i int) bool {
	rest := b[i:]
	for f := range k.forms {
		form := &k.forms[f]
		if len(rest) < len(form.prefix) {
			if string(rest) == form.prefix[:len(rest)] {
				return true
			}
			continue
		}
		if bytes.HasPrefix(rest, []byte(form.prefix)) {
			if body := form.body(rest[len(form.prefix):]); len(body) == len(rest)-len(form.prefix) && len(body) <= form.most {
				return true
			}
		}
	}
	return false
}
