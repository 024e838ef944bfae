package usage

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/warmlane/warmlane/gateway/config"
)

// Dimension is something that counts are told apart by.
type Dimension uint8

// The dimensions.
const (
	Day      Dimension = iota // such as 2026-11-30
	Consumer                  // name of the caller, "" = anonymous
	App                       // that calls, as it says itself
	Model                     // that the caller asked for
	Target                    // pool or provider of the last attempt, "" = none was made
	Route                     // that matched
	dimensions
)

// Dimensions are the names of the dimensions, in their order.
func Dimensions() []string { return []string{"day", "consumer", "app", "model", "target", "route"} }

// String returns the name of d.
func (d Dimension) String() string { return Dimensions()[d] }

// DimensionOf is the dimension of that name.
func DimensionOf(name string) (Dimension, bool) {
	i := slices.Index(Dimensions(), name)
	return Dimension(max(0, i)), i >= 0
}

// Key is one combination of values.
type Key [dimensions]string

// Measure is something that is counted.
type Measure uint8

// The measures. Tokens are the engine's count where it told one, else our own.
const (
	Requests     Measure = iota // that ended
	Failed                      // of these: did not come to a good end, whoever was to blame
	Cached                      // of these: answered from the cache or with an equal one under way
	Estimated                   // of these: the engine did not tell all tokens, some are our own count
	Prompt                      // tokens of prompts, cached ones included
	CachedPrompt                // of these: found in the engine's cache
	Output                      // tokens of answers
	Cost                        // millionths of the currency
	measures
)

// Measures are the names of the measures, in their order.
func Measures() []string {
	return []string{
		"requests", "failed", "cached", "estimated", "prompt_tokens", "cached_prompt_tokens", "completion_tokens", "cost",
	}
}

// Count is what was counted.
type Count [measures]int64

func (c *Count) add(more *Count) {
	for i := range c {
		c[i] += more[i]
	}
}

// text is a measure in a report.
func (c *Count) text(m Measure) string {
	if m == Cost {
		return config.Spend{N: c[m]}.Amount()
	}
	return strconv.FormatInt(c[m], 10)
}

// pack makes one text of several.
func pack(parts []string) []byte {
	text, err := json.Marshal(parts)
	if err != nil {
		panic("BUG: texts cannot be written as JSON: " + err.Error())
	}
	return text
}

// unpack is the reverse of pack, for n texts.
func unpack(text []byte, n int) (parts []string, ok bool) {
	err := json.Unmarshal(text, &parts)
	return parts, err == nil && len(parts) == n
}
