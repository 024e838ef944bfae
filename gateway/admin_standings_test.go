package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestAdmin_TellsHowLimitsStand(t *testing.T) {
	e := engine(t, good)
	r := newRig(t, onePool+`
consumers: [{name: a, keys: [key-of-a-0123456789]}, {name: b, keys: [key-of-b-0123456789]}, {name: c, keys: [key-of-c-0123456789]}]
limits:
  - {name: each, match: {consumers: [a, b]}, by: consumer, requests: [10/h, 5/total]}
  - {name: teams, by: [user, "header:x-team"], requests: 7/day, enforce: false}
  - {name: all, concurrency: 4, cost: 2.5/month}
prices: {models: [{models: [other], input: 1}]}
`, e.URL)
	if a := r.post(chat, `{"model":"m","user":"u","messages":[]}`, "Authorization", "Bearer key-of-a-0123456789", "X-Team", "red"); a.status != 200 {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	told := func(query string, status int) string {
		t.Helper()
		a, err := http.Get(r.Admin + "/admin/v1/limits" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		text, _ := io.ReadAll(a.Body)
		if a.StatusCode != status {
			t.Errorf("%s: %d %s", query, a.StatusCode, text)
		}
		var short bytes.Buffer
		if err := json.Compact(&short, text); err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`"resets_in_seconds":[1-9][0-9.]*`).ReplaceAllString(short.String(), `"resets_in_seconds":1`)
	}
	each := func(used, left5 int, resets string) string {
		return fmt.Sprintf(`[{"of":"requests","per":"h","size":10,"used":%d,"left":%d%s},{"of":"requests","per":"total","size":5,"used":%d,"left":%d}]`,
			used, 10-used, resets, used, left5)
	}
	ofA := `{"key":{"consumer":"a"},"bounds":` + each(1, 4, `,"resets_in_seconds":1`) + `}`
	ofB := `{"key":{"consumer":"b"},"bounds":` + each(0, 5, `,"resets_in_seconds":0`) + `}`
	await(t, "the request is settled", func() bool {
		return strings.Contains(told("?limit=all", 200), `"by":[],"keys":[{"key":{},"bounds":[{"of":"cost","per":"month","size":2.50,"used":0,"left":2.50,`)
	})
	for query, want := range map[string]string{
		"?limit=each":            `{"limits":[{"name":"each","enforce":true,"by":["consumer"],"keys":[` + ofA + `,` + ofB + `]}],"truncated":false}`,
		"?limit=each&consumer=a": `{"limits":[{"name":"each","enforce":true,"by":["consumer"],"keys":[` + ofA + `]}],"truncated":false}`,
		"?limit=teams&user=u":    `{"limits":[{"name":"teams","enforce":false,"by":["user","header:X-Team"],"needs":["header:X-Team"],"keys":[]}],"truncated":false}`,
		"?limit=teams&user=u&header:X-Team=red": `{"limits":[{"name":"teams","enforce":false,"by":["user","header:X-Team"],"keys":[{"key":{"header:X-Team":"red","user":"u"},` +
			`"bounds":[{"of":"requests","per":"day","size":7,"used":1,"left":6,"resets_in_seconds":1}]}]}],"truncated":false}`,
	} {
		if got := told(query, 200); got != want {
			t.Errorf("%s\ntells %s\nwant  %s", query, got, want)
		}
	}
	if got := told("", 200); strings.Count(got, `"name":`) != 3 || !strings.Contains(got, ofA) || !strings.Contains(got, `"of":"concurrency","size":4,"used":0,"left":4,"resets_in_seconds":0}`) {
		t.Errorf("all: %s", got)
	}
	told("?limit=none", 400)
	told("?model=m", 400) // no limit tells apart by it
	if got := told("?limit=each", 200); !strings.Contains(got, ofA) {
		t.Errorf("looking has taken something: %s", got)
	}
}
