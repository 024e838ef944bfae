package observe

import "testing"

func TestNumbering_EqualHashesHaveEqualNumbers(t *testing.T) {
	n := newNumbering(100)
	for i := range uint64(100) {
		if got := n.of(i * 1e15); got != i {
			t.Fatalf("the new hash %d has number %d", i, got)
		}
	}
	for i := range uint64(100) {
		if got := n.of(i * 1e15); got != i {
			t.Fatalf("the known hash %d has number %d", i, got)
		}
	}
}

// The memory for numbers is bounded: a hash that comes again long after has a new number, one that is in use keeps its own.
func TestNumbering_ForgetsWhatIsOutOfUse(t *testing.T) {
	n := newNumbering(100)
	used, once := n.of(1), n.of(2)
	for hash := uint64(1000); hash < 1000+1000; hash++ {
		n.of(hash)
		if got := n.of(1); got != used {
			t.Fatalf("the hash in use has number %d after %d, want %d", got, hash, used)
		}
		if size := len(n.fresh) + len(n.old); size > 200 {
			t.Fatalf("%d hashes are remembered", size)
		}
	}
	if got := n.of(2); got == once || got != n.next-1 {
		t.Errorf("the hash out of use has number %d, want a new one", got)
	}
}
