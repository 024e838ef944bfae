package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const usageAnswer = `{"from":"2026-11-01","to":"2026-11-30","zone":"Asia/Shanghai","currency":"CNY","by":["consumer","model"],"rows":[
{"consumer":"","model":"llama3","requests":1,"failed":1,"cached":0,"estimated":0,"prompt_tokens":0,"cached_prompt_tokens":0,"completion_tokens":0,"cost":0},
{"consumer":"dify","model":"qw\u001ben","requests":1234567890,"failed":2,"cached":3,"estimated":4,"prompt_tokens":900,"cached_prompt_tokens":500,"completion_tokens":70,"cost":1.250001}],
"total":{"requests":1234567891,"failed":3,"cached":3,"estimated":4,"prompt_tokens":900,"cached_prompt_tokens":500,"completion_tokens":70,"cost":1.250001}}`

// usageAPI plays an admin listener and keeps what it was asked.
func usageAPI(t *testing.T, status int, answer string) (url string, asked *string) {
	t.Helper()
	asked = new(string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.URL.String()
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func TestUsage_PrintsATable(t *testing.T) {
	url, asked := usageAPI(t, 200, usageAnswer)
	out, err := runAgainst(t, &UsageCmd{}, url, "--from", "2026-11-01", "--consumer", "dify,shop", "--app", "a b")
	if err != nil {
		t.Fatal(err)
	}
	if want := "/admin/v1/usage?app=a+b&by=consumer%2Cmodel&consumer=dify&consumer=shop&format=json&from=2026-11-01"; *asked != want {
		t.Errorf("asked %s, want %s", *asked, want)
	}
	const want = `2026-11-01 to 2026-11-30, days of Asia/Shanghai

CONSUMER  MODEL   REQUESTS    FAILED  CACHED  PROMPT  OF IT CACHED  COMPLETION  COST CNY
-         llama3  1           1       0       0       0             0           0
dify      qw?en   1234567890  2       3       900     500           70          1.250001
TOTAL             1234567891  3       3       900     500           70          1.250001
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestUsage_PassesOnWhatTheAdminAPISays(t *testing.T) {
	url, asked := usageAPI(t, 200, "consumer,requests\r\n")
	if out, err := runAgainst(t, &UsageCmd{}, url, "--csv", "--by", "day"); err != nil || out != "consumer,requests\r\n" || *asked != "/admin/v1/usage?by=day&format=csv" {
		t.Errorf("%q, %v, asked %s", out, err, *asked)
	}
	url, _ = usageAPI(t, 400, `{"error":{"message":"The parameter from: x is no day."}}`)
	if _, err := runAgainst(t, &UsageCmd{}, url); err == nil || !strings.Contains(err.Error(), "no day") {
		t.Errorf("%v", err)
	}
}
