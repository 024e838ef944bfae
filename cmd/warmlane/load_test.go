package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/warmlane/warmlane/bench/workload"
)

func TestLoad_InputTokensAreANumberOrARange(t *testing.T) {
	for text, want := range map[string]workload.Range{"200": {Min: 200, Max: 200}, "50-400": {Min: 50, Max: 400}} {
		if got, err := tokenRange(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "0", "-5", "9-3", "1-2-3"} {
		var usage usageError
		if _, err := tokenRange(text); !errors.As(err, &usage) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLoad_RefusesFewerOpenConversationsThanRequests(t *testing.T) {
	c := LoadCmd{Sessions: 5, Turns: 1, InputTokens: "10", Concurrency: 4, Open: 3}
	var usage usageError
	if _, err := c.config(); !errors.As(err, &usage) {
		t.Errorf("error %v", err)
	}
	c.Open = 4
	if cfg, err := c.config(); err != nil || len(cfg.Sessions) != 5 {
		t.Errorf("%d sessions, %v", len(cfg.Sessions), err)
	}
}

func TestLoad_ReadsEarlierResults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "first.json")
	if err := os.WriteFile(file, []byte(`{"name":"round_robin","hit_rate":null,"requests":3,"per_replica":[1,2]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := LoadCmd{Baseline: []string{file}}
	got, err := c.earlier()
	if err != nil || len(got) != 1 || got[0].Name != "round_robin" || got[0].HitRate.Known() || got[0].Requests != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	c.Baseline = append(c.Baseline, filepath.Join(t.TempDir(), "none.json"))
	if _, err := c.earlier(); err == nil {
		t.Error("a missing baseline is no error")
	}
}
