package usage_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"testing"

	"github.com/warmlane/warmlane/gateway/usage"
)

func TestReport_AsJSON(t *testing.T) {
	b := open(t, usage.Options{Now: at("2026-11-30T12:00:00Z").Now})
	b.Record(&usage.Entry{Consumer: `d"y`, Model: "m", Prompt: 9, CachedPrompt: 4, Output: 2, Cost: 1_250_001})
	r, err := b.Report(t.Context(), usage.Query{By: []usage.Dimension{usage.Model, usage.Consumer}})
	if err != nil {
		t.Fatal(err)
	}
	r.Currency = "CNY"
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	const counts = `"requests":1,"failed":0,"cached":0,"estimated":0,"prompt_tokens":9,"cached_prompt_tokens":4,"completion_tokens":2,"cost":1.250001}`
	same(t, "JSON", string(text), `{"from":"2026-11-01","to":"2026-11-30","zone":"UTC","currency":"CNY","by":["model","consumer"],`+
		`"rows":[{"model":"m","consumer":"d\"y",`+counts+`],"total":{`+counts+`}`)
}

func TestReport_AsCSV(t *testing.T) {
	b := open(t, usage.Options{})
	for _, app := range []string{`=HYPERLINK("http://x")`, "+1", "-1", "@x", "\tx", "＝1", "a,b", "plain=1"} {
		b.Record(&usage.Entry{App: app, Cost: 500_000})
	}
	r, err := b.Report(t.Context(), usage.Query{By: []usage.Dimension{usage.App}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.CSV()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "CSV", string(text), "app,requests,failed,cached,estimated,prompt_tokens,cached_prompt_tokens,completion_tokens,cost\r\n"+
		"'\tx,1,0,0,0,0,0,0,0.50\r\n'+1,1,0,0,0,0,0,0,0.50\r\n'-1,1,0,0,0,0,0,0,0.50\r\n"+
		"\"'=HYPERLINK(\"\"http://x\"\")\",1,0,0,0,0,0,0,0.50\r\n'@x,1,0,0,0,0,0,0,0.50\r\n"+
		"\"a,b\",1,0,0,0,0,0,0,0.50\r\nplain=1,1,0,0,0,0,0,0,0.50\r\n'＝1,1,0,0,0,0,0,0,0.50\r\n")
}

// Whatever callers name themselves, each row keeps its columns and no cell begins a formula.
func FuzzReport_CSV(f *testing.F) {
	for _, seed := range []string{"=1+1", "a\"b\r\n,c", "\xff", "", "\n=x"} {
		f.Add(seed)
	}
	b := open(f, usage.Options{})
	f.Fuzz(func(t *testing.T, name string) {
		r, err := b.Report(t.Context(), usage.Query{})
		if err != nil {
			t.Fatal(err)
		}
		r.By, r.Rows = []usage.Dimension{usage.App}, []usage.Row{{Key: usage.Key{usage.App: name}}}
		text, err := r.CSV()
		if err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil || len(lines) != 2 || len(lines[1]) != 9 {
			t.Fatalf("%q: %q, %v", name, text, err)
		}
		if cell := []rune(lines[1][0]); len(cell) > 0 && bytes.ContainsRune([]byte("=+-@\t\r\n＝＋－＠"), cell[0]) {
			t.Errorf("%q begins a formula", lines[1][0])
		}
	})
}

func TestReport_Days(t *testing.T) {
	b := open(t, usage.Options{Now: at("2026-11-30T12:00:00Z").Now})
	for _, f := range []struct{ from, to, wantFrom, wantTo, bad string }{
		{"", "", "2026-11-01", "2026-11-30", ""},
		{"2026-11-30", "", "2026-11-30", "2026-11-30", ""},
		{"", "2026-10-31", "2026-10-02", "2026-10-31", ""},
		{"0001-01-01", "9999-12-31", "0001-01-01", "9999-12-31", ""},
		{"2026-12-01", "", "", "", "from"},
		{"2026-11-31", "", "", "", "from"},
		{"", "30.11.2026", "", "", "to"},
		{"yesterday", "", "", "", "from"},
	} {
		r, err := b.Report(t.Context(), usage.Query{From: f.from, To: f.to})
		var bad *usage.BadQuery
		switch {
		case errors.As(err, &bad):
			if bad.Param != f.bad {
				t.Errorf("%+v: %v", f, err)
			}
		case err != nil || f.bad != "" || r.From != f.wantFrom || r.To != f.wantTo:
			t.Errorf("%+v: %+v, %v", f, r, err)
		}
	}
}
