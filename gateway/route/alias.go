package route

import (
	"slices"
	"strings"
	"unicode"

	"github.com/warmlane/warmlane/gateway/config"
)

// longestApp bounds an app's name, in bytes: callers choose it, and it stands in log lines and keys.
const longestApp = 64

// Split parts the name that a caller gave for a model into the model and the calling app: qwen3@shop-bot is qwen3 for the app shop-bot.
// Some applications can say nothing else of themselves: Dify's plugin sends a model's name and no app. The app is "" where the name has
// none: where nothing stands before the last @, where what stands behind it is no app's name (see IsApp), and where the whole is a model,
// because the configuration names it, a glob of a route has an @ and matches it, or an engine lists it as an adapter (listed, which may
// be nil).
func (t *Table) Split(name string, listed func(model string) []string) (model, app string) {
	at := strings.LastIndexByte(name, '@')
	if at <= 0 || !IsApp(name[at+1:]) || t.knows(name) || listed != nil && len(listed(name)) > 0 {
		return name, ""
	}
	return name[:at], name[at+1:]
}

// knows reports whether the configuration has this name, with its @, for a model.
func (t *Table) knows(name string) bool {
	if _, ok := t.direct[name]; ok || len(t.disputed[name]) > 0 {
		return true
	}
	return slices.ContainsFunc(t.routes, func(r *Route) bool {
		return slices.ContainsFunc(r.models, func(glob string) bool {
			return strings.Contains(glob, "@") && config.Glob(glob, name)
		})
	})
}

// IsApp reports whether text can name an app: 1 to 64 bytes of letters and digits of any script, and after the first of them also of
// dots, hyphens and underscores.
func IsApp(text string) bool {
	for i, r := range text {
		if !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && (i == 0 || !strings.ContainsRune("._-", r)) {
			return false
		}
	}
	return text != "" && len(text) <= longestApp
}
