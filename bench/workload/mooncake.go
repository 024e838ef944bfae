package workload

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// mooncakePacked is the whole conversation trace, see data/ATTRIBUTION.md. Unpacked it is six sequences of unsigned varints, one after
// the other: the number of requests; for each request the milliseconds since the one before it; the prompt's tokens; the answer's
// tokens; how many of its blocks were seen before; and, where any was, the last of these. Blocks are numbered in the order of
// their first appearance and each has one predecessor for ever, so that this says everything.
//
//go:embed data/mooncake-conversation.bin.gz
var mooncakePacked []byte

// Mooncake returns the 12,031 requests of Mooncake's conversation trace: one hour of a production chat service, 12,035 tokens
// of prompt and 343 of answer on average, blocks of 512 tokens.
func Mooncake() ([]TraceRequest, error) {
	all, err := unpackMooncake(mooncakePacked)
	if err != nil {
		return nil, fmt.Errorf("the Mooncake trace in this program: %w", err)
	}
	return all, nil
}

func unpackMooncake(packed []byte) ([]TraceRequest, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	u := unpacker{text: text}
	all := make([]TraceRequest, u.number(len(text)))
	at := time.Duration(0)
	for i := range all {
		at += time.Duration(u.number(maxGap)) * time.Millisecond
		all[i] = TraceRequest{At: at, BlockTokens: mooncakeBlock, Cached: -1, Session: -1}
	}
	for i := range all {
		all[i].Input = u.number(mostPacked)
	}
	for i := range all {
		all[i].Output = u.number(mostPacked)
	}
	return all, u.blocks(all)
}

// The largest numbers that a packed trace may hold, so that a broken one is found before it is believed.
const (
	maxGap     = 24 * 3600 * 1000
	mostPacked = 1 << 20
)

// unpacker reads varints until one is wrong.
type unpacker struct {
	text []byte
	bad  bool
}

// number is the next one; 0 once one was missing or larger than most.
func (u *unpacker) number(most int) int {
	n, size := binary.Uvarint(u.text)
	if u.bad = u.bad || size <= 0 || most < 0 || n > uint64(most); u.bad {
		return 0
	}
	u.text = u.text[size:]
	return int(n)
}

// blocks restores the chains.
func (u *unpacker) blocks(all []TraceRequest) error {
	shared := make([]int, len(all))
	for i := range all {
		shared[i] = u.number(blocksOf(all[i].Input, mooncakeBlock))
	}
	var before []uint64 // the predecessor of each block; at the beginning of a prompt the block itself
	for i := range all {
		chain := make([]uint64, blocksOf(all[i].Input, mooncakeBlock))
		if n := shared[i]; n > 0 {
			block := uint64(u.number(len(before) - 1))
			for j := n - 1; j >= 0 && !u.bad; j-- {
				chain[j] = block
				u.bad = (before[block] == block) != (j == 0)
				block = before[block]
			}
		}
		for j := shared[i]; j < len(chain); j++ {
			chain[j] = uint64(len(before))
			before = append(before, chain[max(0, j-1)])
		}
		if u.bad {
			break
		}
		all[i].Blocks = chain
	}
	if u.bad || len(u.text) > 0 {
		return errors.New("broken")
	}
	return nil
}
