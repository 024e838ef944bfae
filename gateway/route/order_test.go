package route_test

import (
	"math"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/route"
)

func order(r *route.Route, draw float64) string {
	var names []string
	for _, t := range r.Order(draw) {
		names = append(names, t.Name())
	}
	return strings.Join(names, " ")
}

func weighted(t *testing.T, targets string) *route.Route {
	t.Helper()
	r, fail := table(t, `
pools: [{name: a, endpoints: ["http://a:1"]}, {name: b, endpoints: ["http://b:1"]}, {name: c, endpoints: ["http://c:1"]}]
routes: [{models: [m], targets: `+targets+`}]`).Find(route.Query{Subject: config.Subject{Model: "m"}})
	if fail != nil {
		t.Fatal(fail)
	}
	return r
}

func TestOrder_WeightedTargetsShareTheFirstPlace(t *testing.T) {
	r := weighted(t, "[{pool: c}, {pool: a, weight: 90}, {pool: b, weight: 10}]")
	for draw, want := range map[float64]string{
		0: "a b c", 0.899: "a b c", 0.9: "b a c", math.Nextafter(1, 0): "b a c", 1: "b a c",
	} {
		if got := order(r, draw); got != want {
			t.Errorf("draw %v: %s, want %s", draw, got, want)
		}
	}
	if got := order(weighted(t, "[{pool: c}, {pool: a}, {pool: b}]"), 0.99); got != "c a b" {
		t.Errorf("without weights: %s, want the order of the file", got)
	}
}

// A canary that grows keeps those whom it has.
func TestOrder_GrowingWeightMovesNobodyBack(t *testing.T) {
	small := weighted(t, "[{pool: a, weight: 95}, {pool: b, weight: 5}]")
	large := weighted(t, "[{pool: a, weight: 80}, {pool: b, weight: 20}]")
	first := map[string]int{}
	for i := range 1000 {
		draw := float64(i) / 1000
		before, after := order(small, draw), order(large, draw)
		if before == "b a" && after != before {
			t.Fatalf("draw %v: %s, after the canary grew %s", draw, before, after)
		}
		first[after]++
	}
	if n := first["b a"]; n < 199 || n > 201 {
		t.Errorf("%d of 1000 draws go to the canary of 20 %%", n)
	}
}
