package workload

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"
)

// To pack the trace again, from the file that data/ATTRIBUTION.md names:
//
//	go test ./bench/workload -run Mooncake -mooncake conversation_trace.jsonl
var mooncakeSource = flag.String("mooncake", "", "write data/mooncake-conversation.bin.gz from this file of Mooncake's")

func TestMooncake_PacksAgain(t *testing.T) {
	if *mooncakeSource == "" {
		t.Skip("no -mooncake FILE")
	}
	all, err := ReadTrace(*mooncakeSource)
	if err != nil {
		t.Fatal(err)
	}
	packed := packMooncake(t, all)
	if got, err := unpackMooncake(packed); err != nil || !reflect.DeepEqual(got, all) {
		t.Fatalf("what was packed is not what comes out: %v", err)
	}
	if err := os.WriteFile("data/mooncake-conversation.bin.gz", packed, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests in %d bytes", len(all), len(packed))
}

// packMooncake is the inverse of unpackMooncake.
func packMooncake(t *testing.T, all []TraceRequest) []byte {
	t.Helper()
	put := binary.AppendUvarint
	head, inputs, outputs, depths, lasts := put(nil, uint64(len(all))), []byte(nil), []byte(nil), []byte(nil), []byte(nil)
	at, next := time.Duration(0), uint64(0)
	for i := range all {
		r := &all[i]
		head = put(head, uint64((r.At-at)/time.Millisecond))
		inputs, outputs = put(inputs, uint64(r.Input)), put(outputs, uint64(r.Output))
		at = r.At
		depth := 0
		for depth < len(r.Blocks) && r.Blocks[depth] < next {
			depth++
		}
		depths = put(depths, uint64(depth))
		if depth > 0 {
			lasts = put(lasts, r.Blocks[depth-1])
		}
		for _, block := range r.Blocks[depth:] {
			if block != next {
				t.Fatalf("request %d: block %d comes before %d: they are not numbered by first appearance", i, block, next)
			}
			next++
		}
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{head, inputs, outputs, depths, lasts} {
		if _, err := z.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestMooncake_BeginsAsTheOriginal(t *testing.T) {
	want, err := ReadTrace("testdata/mooncake-excerpt.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	all, err := Mooncake()
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != 300 || !reflect.DeepEqual(all[:len(want)], want) {
		t.Errorf("the first %d requests are not those of the file", len(want))
	}
}

// The figures that facts about the trace give: 12,031 requests in 3,537 s, 12,035 tokens in and 343 out on average, 182,790 distinct
// blocks, and 37.4 % of the prompt tokens in blocks seen before.
func TestMooncake_IsWhole(t *testing.T) {
	all, err := Mooncake()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	input, output, again := 0, 0, 0
	for i := range all {
		r := &all[i]
		input, output = input+r.Input, output+r.Output
		if i > 0 && r.At < all[i-1].At {
			t.Fatalf("request %d comes before the one before it", i)
		}
		for j, block := range r.Blocks {
			if seen[block] {
				again += min(r.BlockTokens, r.Input-j*r.BlockTokens)
			}
			seen[block] = true
		}
	}
	last := all[len(all)-1].At
	if len(all) != 12031 || len(seen) != 182790 || last < 3530*time.Second || last > 3540*time.Second || input/len(all) != 12035 || output/len(all) != 342 {
		t.Errorf("%d requests until %s, %d blocks, %d tokens in, %d out", len(all), last, len(seen), input/len(all), output/len(all))
	}
	if share := float64(again) / float64(input); share < 0.36 || share > 0.41 {
		t.Errorf("%.3f of the prompt tokens were seen before", share)
	}
}

func TestMooncake_BrokenData(t *testing.T) {
	excerpt, err := ReadTrace("testdata/mooncake-excerpt.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	whole := packMooncake(t, excerpt)
	for _, packed := range [][]byte{nil, whole[:len(whole)/2], bytes.Repeat([]byte{7}, 100)} {
		if _, err := unpackMooncake(packed); err == nil {
			t.Errorf("%d bytes of nonsense are a trace", len(packed))
		}
	}
}

func FuzzUnpackMooncake(f *testing.F) {
	f.Add([]byte{2, 0, 5, 0x80, 8, 0x80, 10, 1, 2, 0, 2, 1}) // two requests of 2 and 3 blocks, the second one behind the first
	f.Add([]byte{1, 0, 1, 1, 1, 0})                          // a block that was seen before there was any
	f.Fuzz(func(t *testing.T, text []byte) {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		all, err := unpackMooncake(packed.Bytes())
		if err != nil {
			return
		}
		if again, err := unpackMooncake(packMooncake(t, all)); err != nil || !reflect.DeepEqual(again, all) {
			t.Errorf("packed again and unpacked it differs: %v", err)
		}
	})
}

func BenchmarkMooncake(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Mooncake(); err != nil {
			b.Fatal(err)
		}
	}
}
