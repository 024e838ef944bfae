package balancer_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/tokenize"
)

// sampleDelta is a delta with something in every place.
func sampleDelta() *balancer.Delta {
	return &balancer.Delta{
		Since: balancer.Cursor{Run: 1 << 60, Tick: 3, Placed: 7},
		Until: balancer.Cursor{Run: 1 << 60, Tick: 4, Placed: 9},
		Endpoints: []balancer.SharedEndpoint{
			{
				Key: 1 << 63, Started: 1_800_000_000_000, InFlight: 3, Decoding: 2, Pending: 800, Context: 9000, Distinct: 5000,
				FirstAgo: 40 * time.Millisecond, Step: 0.0234375, PerToken: 0.0001220703125,
			},
			{Key: 5},
		},
		Placements: []balancer.Placement{
			{Endpoint: 0, Kind: balancer.Sent, Blocks: []uint64{1, 1 << 40, 3}},
			{Endpoint: 1, Kind: balancer.Answered, Blocks: []uint64{3, 4}},
			{Endpoint: 1, Kind: balancer.Lost, Blocks: []uint64{9}},
			{Endpoint: 0, Kind: balancer.Held, Blocks: []uint64{}},
		},
	}
}

func marshal(t testing.TB, d *balancer.Delta) []byte {
	t.Helper()
	b, err := d.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDelta_ComesBackFromTheWire(t *testing.T) {
	want := sampleDelta()
	wire := marshal(t, want)
	got := balancer.Delta{Endpoints: make([]balancer.SharedEndpoint, 9)} // what was there before must not matter
	if err := got.UnmarshalBinary(wire); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("from the wire comes\n%+v, want\n%+v", &got, want)
	}
	for n := range wire {
		if err := new(balancer.Delta).UnmarshalBinary(wire[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken for a delta", n, len(wire))
		}
	}
}

func TestDelta_RefusesNonsense(t *testing.T) {
	for what, spoil := range map[string]func(d *balancer.Delta){
		"an endpoint that is not there": func(d *balancer.Delta) { d.Placements[0].Endpoint = 2 },
		"an unknown kind":               func(d *balancer.Delta) { d.Placements[0].Kind = 4 },
		"a negative speed":              func(d *balancer.Delta) { d.Endpoints[0].Step = -1 },
		"a speed beyond all measure":    func(d *balancer.Delta) { d.Endpoints[0].PerToken = 1e9 },
		"a time before 1970":            func(d *balancer.Delta) { d.Endpoints[0].Started = -1 },
	} {
		d := sampleDelta()
		spoil(d)
		if err := new(balancer.Delta).UnmarshalBinary(marshal(t, d)); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	wire := marshal(t, sampleDelta())
	if err := new(balancer.Delta).UnmarshalBinary(append(slices.Clone(wire), 0)); err == nil {
		t.Error("a byte too many is taken")
	}
	wire[0]++
	if err := new(balancer.Delta).UnmarshalBinary(wire); err == nil {
		t.Error("another version is taken")
	}
	huge := []byte{1, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	if err := new(balancer.Delta).UnmarshalBinary(huge); err == nil {
		t.Error("more endpoints than bytes are taken")
	}
}

// FuzzDelta reads any bytes; what can be read comes back the same from the wire and does no harm to a pool.
func FuzzDelta(f *testing.F) {
	f.Add(marshal(f, sampleDelta()))
	all := gateways(f, 2, 2)
	all[0].send(f, prompt(1, 1, 0, 20))
	d := all[0].Export(balancer.Cursor{}, all[0].now)
	f.Add(marshal(f, &d))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var d, again balancer.Delta
		if d.UnmarshalBinary(data) != nil {
			return
		}
		if err := again.UnmarshalBinary(marshal(t, &d)); err != nil || !reflect.DeepEqual(d, again) {
			t.Fatalf("%+v comes back as %+v, %v", d, again, err)
		}
		g := gateways(t, 1, 2)[0]
		for i := range d.Endpoints { // let them hit
			d.Endpoints[i].Key = all[0].seen[i%2].Key
		}
		for _, name := range []string{"a", "b"} {
			_ = g.Merge(name, &d, g.now)
			checkShown(t, g)
		}
		g.later(time.Second)
		g.forgotten(t)
	})
}

// checkShown fails when the policy is shown a count below zero or a speed that is none.
func checkShown(t failer, g *gateway) {
	t.Helper()
	for _, c := range g.look(t) {
		if c.InFlight < 0 || c.Own < 0 || c.Decoding < 0 || c.Pending < 0 || c.Context < 0 || c.Distinct < 0 {
			t.Fatalf("a count below zero: %+v", c)
		}
		if !(c.Step > 0) || !(c.Rate > 0) || c.Step > 1e9 || c.Rate > 1e9 || !(c.Floor >= 0) {
			t.Fatalf("speeds that are none: %+v", c)
		}
	}
}

// forgotten fails unless nothing but the gateway's own load is left.
func (g *gateway) forgotten(t failer) {
	t.Helper()
	all := g.Status(g.now)
	for _, c := range g.look(t) {
		if s := all[c.Index]; s.Peers != 0 || c.Own != float64(s.InFlight) || c.Decoding != float64(s.Decoding) ||
			c.Pending != float64(s.Pending) || c.Context != float64(s.Context) {
			t.Fatalf("of peers that are silent is left: %+v", c)
		}
	}
}

// TestDelta_IsSmall weighs what a request costs on the wire, with a prompt of 8k tokens and an answer of 320.
func TestDelta_IsSmall(t *testing.T) {
	const requests, blocks, answer = 100, 8192 / 64, 320 / 64
	all := gateways(t, 2, 8)
	a := all[0]
	d := a.Export(balancer.Cursor{}, a.now)
	idle := len(marshal(t, &d))
	for i := range requests {
		p := prompt(1, uint64(i), 20, blocks+answer)
		l := a.send(t, &tokenize.Prompt{Bytes: p.Bytes, Tokens: blocks * 64, Blocks: p.Blocks[:blocks]})
		l.FirstToken(a.now)
		o := done(320)
		o.Answer = p.Blocks[blocks:]
		l.End(o, a.now)
		a.later(time.Millisecond)
	}
	d = a.Export(d.Until, a.now)
	each := float64(len(marshal(t, &d))) / requests
	a.send(t, nil)
	d = a.Export(d.Until, a.now)
	one := len(marshal(t, &d))
	t.Logf("%.0f bytes a request, %d bytes a delta of an idle pool, %d with 8 endpoints in use", each, idle, one)
	if each > 8*(blocks+answer+1)+20 {
		t.Errorf("%.0f bytes for a request of %d blocks", each, blocks+answer)
	}
	if idle > 32 || one > 8*40 {
		t.Errorf("%d bytes for nothing, %d for the load of 8 endpoints", idle, one)
	}
}
