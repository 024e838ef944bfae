package main

import (
	"reflect"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// The recommended queue holds its goodput at twice what can be served, and its urgent requests hardly notice.
func TestOverload_GoodputHolds(t *testing.T) {
	base, err := workload("short")
	if err != nil {
		t.Fatal(err)
	}
	base.length, base.seed = 2*time.Minute, 7
	play := func(load float64, q balancer.QueueConfig) *result {
		s := base
		s.rate, s.queue = base.rate*load, q
		r, err := s.play()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	q := balancer.QueueConfig{Max: 1000, Wait: 2 * time.Second, Late: 300 * time.Millisecond, Shed: 500 * time.Millisecond}
	peak, over, unbounded := play(1, q), play(2, q), play(2, balancer.QueueConfig{})
	good := func(r *result) int { return r.usual.good + r.urgent.good }
	if good(over) < good(peak)*9/10 {
		t.Errorf("at 2x %d answers are good, at 1x %d", good(over), good(peak))
	}
	if r := over.urgent; r.good < r.all*95/100 {
		t.Errorf("%d of %d urgent requests were answered well", r.good, r.all)
	}
	if over.longest > 50 {
		t.Errorf("%d requests waited at once", over.longest)
	}
	if good(unbounded) > good(peak)/10 {
		t.Errorf("without a queue %d answers are good at 2x: the engines are not overloaded", good(unbounded))
	}
	if again := play(2, q); !reflect.DeepEqual(again, over) {
		t.Error("the same flags give other figures")
	}
}

func TestOverload_UnknownWorkload(t *testing.T) {
	if _, err := workload("huge"); err == nil {
		t.Error("taken")
	}
}
