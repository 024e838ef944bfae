package limit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TellTime makes the script that takes read the time from a key, which the function that it returns sets, and keep buckets for long: their
// expiry goes by the server's own time.
func (r *Redis) TellTime(t *testing.T) func(time.Time) {
	t.Helper()
	script := takeScript
	for old, told := range map[string]string{
		"redis.call('TIME')": "cjson.decode(redis.call('GET', '{probe}clock') or '[\"0\",\"0\"]')",
		"'PX', ttl)":         "'PX', ttl + 600000)",
	} {
		if strings.Count(script, old) != 1 {
			t.Fatalf("the script has not one %s", old)
		}
		script = strings.Replace(script, old, told, 1)
	}
	r.scripts.take = redis.NewScript(script)
	return func(now time.Time) {
		us := now.UnixMicro()
		err := r.client.Set(t.Context(), "{probe}clock", fmt.Sprintf(`["%d","%d"]`, us/1e6, us%1e6), 0).Err()
		if err != nil {
			t.Fatal(err)
		}
	}
}
