package provider

import "testing"

// BenchmarkDecoder is the cost of one event of text.
func BenchmarkDecoder(b *testing.B) {
	for kind, event := range map[string]string{
		"anthropic": `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}}`,
		"gemini":    `{"candidates":[{"content":{"parts":[{"text":" word"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":10,"totalTokenCount":10},"modelVersion":"gemini-3-pro","responseId":"abc"}`,
		"bedrock":   `{"event":"contentBlockDelta","payload":{"contentBlockIndex":0,"delta":{"text":" word"},"p":"abcdefghijk"}}`,
	} {
		b.Run(kind, func(b *testing.B) {
			wire := kindsUnderTest[kind]([]byte(event))
			d := reply(b, kind, "/v1/chat/completions").Decoder()
			b.ReportAllocs()
			for b.Loop() {
				if len(d.Feed(wire)) == 0 {
					b.Fatal("silent")
				}
			}
		})
	}
}
