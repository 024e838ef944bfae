package provider

import "testing"

func TestClaudeVersion(t *testing.T) {
	f := func(model string, major, minor int, claude, both, one bool) {
		t.Helper()
		a, b, ok := claudeVersion(model)
		if a != major || b != minor || ok != claude {
			t.Errorf("%s: version %d.%d, %v", model, a, b, ok)
		}
		half := 0.5
		o := chatOptions{Temperature: &half, TopP: &half}
		temperature, topP := o.sampling(model)
		if (temperature != nil && topP != nil) != both || (temperature != nil && topP == nil) != one {
			t.Errorf("%s: temperature %v, top_p %v", model, temperature, topP)
		}
	}
	f("claude-3-opus-20240229", 3, 0, true, false, true)
	f("claude-3-5-haiku-latest", 3, 5, true, false, true)
	f("claude-opus-4-20250514", 4, 0, true, false, true)
	f("claude-sonnet-4-6", 4, 6, true, false, true)
	f("claude-opus-4-7", 4, 7, true, false, false)
	f("claude-sonnet-5", 5, 0, true, false, false)
	f("claude-unheard-of", 0, 0, true, false, false)
	f("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 4, 5, true, false, true)
	f("anthropic.claude-3-haiku-20240307-v1:0", 3, 0, true, false, true)
	f("claude-haiku-4-5@20251001", 4, 5, true, false, true)
	f("amazon.nova-pro-v1:0", 0, 0, false, true, false)
}
