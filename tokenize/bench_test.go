package tokenize

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// conversation returns chat messages of about size bytes, text given, 2 KB a message.
func conversation(size int, text string) []byte {
	var messages []map[string]string
	for n := 0; n < size; n += 2048 {
		role := "user"
		if len(messages)%2 == 1 {
			role = "assistant"
		}
		messages = append(messages, map[string]string{"role": role, "content": strings.Repeat(text, 2048/len(text))})
	}
	raw, err := json.Marshal(messages)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return raw
}

var samples = []struct{ name, text string }{
	{"english", "The quick brown fox jumps over the lazy dog, and then it sleeps all day.\n"},
	{"chinese", "敏捷的棕色狐狸跳过懒狗，然后睡了一整天。"},
	{"code", "\tif err != nil {\n\t\treturn fmt.Errorf(\"x: %w\", err)\n\t}\n"},
}

func BenchmarkValidate(b *testing.B) {
	for _, s := range samples {
		text := conversation(512<<10, s.text)
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if Validate(text, MaxDepth) != nil {
					b.Fatal("invalid")
				}
			}
		})
	}
	text := []byte(`"` + strings.Repeat("a long string without any escape, as a document is ", 10_000) + `"`)
	b.Run("one string", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if Validate(text, MaxDepth) != nil {
				b.Fatal("invalid")
			}
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	for _, size := range []int{1 << 10, 32 << 10, 512 << 10} {
		for _, s := range samples {
			src := Source{Form: Chat, Model: "m", Messages: conversation(size, s.text)}
			b.Run(fmt.Sprintf("%s/%dKB", s.name, size>>10), func(b *testing.B) {
				var builder Builder
				b.SetBytes(int64(len(src.Messages)))
				b.ReportAllocs()
				for b.Loop() {
					builder.Build(&src, nil)
				}
			})
		}
	}
}

func BenchmarkAnswerText(b *testing.B) {
	src := Source{Form: Chat, Model: "m", Messages: conversation(1<<10, samples[0].text)}
	var builder Builder
	builder.Build(&src, nil)
	piece := []byte(" fabulous")
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		builder.AnswerText(piece)
		if n++; n%4096 == 0 {
			builder.Build(&src, nil)
		}
	}
}
