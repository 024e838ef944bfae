package scraper

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestReadModels_RealEngines(t *testing.T) {
	for file, want := range map[string]models{
		"vllm-models.json":     {names: []string{"tiny", "tiny-alias"}, maxLen: 8192},
		"llamacpp-models.json": {names: []string{"smol"}, maxLen: 2048},
	} {
		body, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readModels(body); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %+v, %v, want %+v", file, got, err, want)
		}
	}
}

func TestReadModels_ToleratesOddLists(t *testing.T) {
	for body, want := range map[string]models{
		vllmModels:    {names: []string{"llama3", "sql-lora"}, adapters: []string{"sql-lora"}, maxLen: 8192},
		llamaModels:   {names: []string{"tiny.gguf"}, maxLen: 2048},
		`{"data":[]}`: {},
		`{"data":[1,{},null,{"id":7,"max_model_len":"x"},{"id":"a","max_model_len":-1}]}`: {names: []string{"a"}},
	} {
		got, err := readModels([]byte(body))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %+v, %v, want %+v", body, got, err, want)
		}
	}
	for _, body := range []string{"", "{", `{"data":{}}`, `[]`, `"x"`, `{"error":"Unauthorized"}`} {
		if got, err := readModels([]byte(body)); err == nil {
			t.Errorf("%q was read as %+v", body, got)
		}
	}
}
