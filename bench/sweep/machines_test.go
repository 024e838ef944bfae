package sweep

import (
	"slices"
	"strings"
	"testing"
)

func TestParseFleet(t *testing.T) {
	f, err := ParseFleet("2xh100-80-llama3-8b, 1xa10-llama3-8b:slow=2.5:blocks=760")
	if err != nil {
		t.Fatal(err)
	}
	want := Fleet{{preset: "h100-80-llama3-8b"}, {preset: "h100-80-llama3-8b"}, {preset: "a10-llama3-8b", slow: 2.5, blocks: 760}}
	if !slices.Equal(f, want) {
		t.Errorf("got %v, want %v", f, want)
	}
	if text := f.String(); text != "2xh100-80-llama3-8b,1xa10-llama3-8b:blocks=760:slow=2.5" {
		t.Errorf("written as %s", text)
	}
	if f, err = ParseFleet("1024xa10-llama3-8b"); err != nil || len(f) != mostReplicas {
		t.Errorf("the largest fleet: %d, %v", len(f), err)
	}
}

func TestParseFleet_TellsWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "want a number of replicas",
		"a10-llama3-8b":                       "want a number of replicas",
		"3":                                   "want a number of replicas",
		"0xa10-llama3-8b":                     "1 to 1024",
		"-1xa10-llama3-8b":                    "1 to 1024",
		"1025xa10-llama3-8b":                  "1 to 1024",
		"1000xa10-llama3-8b,25xa10-llama3-8b": "1 to 1024",
		"1xa10-llama3-8b,9223372036854775807xa10-llama3-8b": "1 to 1024",
		"3xa10-llama3-8b,":           "want a number of replicas",
		"3xa11":                      "a11",
		"3xa10-llama3-8b:fast=2":     "want slow=FACTOR",
		"3xa10-llama3-8b:slow":       "want slow=FACTOR",
		"3xa10-llama3-8b:slow=0":     "want slow=FACTOR above 0 or blocks=NUMBER from 1",
		"3xa10-llama3-8b:slow=-1":    "want slow=FACTOR above 0 or blocks=NUMBER from 1",
		"3xa10-llama3-8b:slow=NaN":   "want slow=FACTOR above 0 or blocks=NUMBER from 1",
		"3xa10-llama3-8b:slow=Inf":   "want slow=FACTOR above 0 or blocks=NUMBER from 1",
		"3xa10-llama3-8b:blocks=0.5": "want slow=FACTOR above 0 or blocks=NUMBER from 1",
		"3xa10-llama3-8b:blocks=1e9": "want slow=FACTOR above 0 or blocks=NUMBER from 1",
	} {
		f, err := ParseFleet(text)
		if err == nil || !strings.Contains(err.Error(), want) || f != nil {
			t.Errorf("fleet %q: %v, error %v, want one that tells %q", text, f, err, want)
		}
	}
}

func FuzzFleet(f *testing.F) {
	for _, seed := range []string{"3xa10-llama3-8b", "2xh100-80-llama3-8b,1xa10-llama3-8b:slow=3:blocks=760", "1024xa10-llama3-8b:blocks=1e3", "x,:=", "1xa10-llama3-8b:slow=1e-9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fleet, err := ParseFleet(text)
		if err != nil {
			return
		}
		if len(fleet) < 1 || len(fleet) > mostReplicas {
			t.Fatalf("%d replicas", len(fleet))
		}
		again, err := ParseFleet(fleet.String())
		if err != nil || !slices.Equal(again, fleet) {
			t.Fatalf("%s was written as %s, which reads as %s, %v", text, fleet, again, err)
		}
	})
}
