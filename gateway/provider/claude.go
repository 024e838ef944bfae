package provider

import "strings"

// claudeVersion finds the version in the name of a Claude model at any provider, such as claude-sonnet-4-5-20250929,
// us.anthropic.claude-3-5-haiku-20241022-v1:0: 4.5 and 3.5. ok is false for other models.
func claudeVersion(model string) (major, minor int, ok bool) {
	_, rest, ok := strings.Cut(strings.ToLower(model), "claude")
	if !ok {
		return 0, 0, false
	}
	found := 0
	for word := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == '-' || r == '.' || r == '@' || r == ':' || r == '/' }) {
		n, short := smallNumber(word)
		switch {
		case !short && found > 0:
			return major, minor, true
		case !short:
		case found == 0:
			major, found = n, 1
		default:
			return major, n, true
		}
	}
	return major, minor, true
}

// smallNumber reads a number of one or two digits; dates are longer.
func smallNumber(word string) (n int, ok bool) {
	if len(word) == 0 || len(word) > 2 {
		return 0, false
	}
	for i := range len(word) {
		if word[i] < '0' || word[i] > '9' {
			return 0, false
		}
		n = n*10 + int(word[i]-'0')
	}
	return n, true
}

// sampling is what of temperature and top_p a model takes. Claude from 4.7 on takes neither (platform.claude.com/docs/en/api/migration-2026-10-21);
// earlier ones take up to 1, and from 4.1 on only one of the two.
func (o *chatOptions) sampling(model string) (temperature, topP *float64) {
	temperature, topP = o.Temperature, o.TopP
	major, minor, claude := claudeVersion(model)
	if !claude {
		return temperature, topP
	}
	if major == 0 || major > 4 || major == 4 && minor > 6 {
		return nil, nil
	}
	if temperature != nil {
		t := min(*temperature, 1)
		return &t, nil
	}
	return nil, topP
}

// thinksByEffort says whether a Claude model takes an effort and thinks as much as it likes: those from 4.6 on.
func thinksByEffort(model string) bool {
	major, minor, claude := claudeVersion(model)
	return claude && (major == 0 || major > 4 || major == 4 && minor >= 6)
}

// claudeEffort is output_config.effort for a reasoning_effort; "" where nothing is said.
var claudeEffort = map[string]string{
	"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max",
}
