package sweep

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Workload is a kind of traffic and the fleet it goes to. Times are the engines' seconds. Answers G(m, c) are gamma
// distributed with shape 2.2 and mean m, at most c tokens.
type Workload struct {
	Name string
	// About says what it is in one line.
	About string

	scale int // factor on fleet and traffic
	write func(w *Workload, seed uint64) *plan
}

const (
	a10  = "a10-llama3-8b"
	l20  = "l20-llama3-8b"
	h20  = "h20-96-llama3-8b"
	h100 = "h100-80-llama3-8b"
)

// Workloads lists all of them: sixteen, then those with the fleet and the traffic 4 and 16 times as large.
func Workloads() []Workload {
	base := []Workload{
		{Name: "headline-a", About: "3 x A10; 60 conversations of 5 turns, 20 at once; 200 tokens a turn, answers G(300, 800)", write: headline(false)},
		{Name: "headline-b", About: "the same with 800 forced tokens an answer", write: headline(true)},
		{Name: "think", About: "3 x A10; 60 x 5, 0.4 conversations/s, users think 5 s", write: think(3, 60, 0.4)},
		{Name: "tenants", About: "4 x A10; 220 conversations of 1 to 3 turns, 2.2/s, of 12 apps with system prompts of 500 to 4,000 tokens", write: tenants(0, false)},
		{Name: "agent", About: "4 x H100; 40 tool-calling agents, contexts from 2,000 to 20,000 tokens, 75 s", write: agent(h100, h100)},
		{Name: "hot", About: "4 x A10; 400 requests, 5/s; one system prompt of 6,000 tokens in 60 % of them, else one of 11 of 1,000", write: hot},
		{Name: "mooncake", About: "4 x L20; 700 requests of the Mooncake conversation trace at trace time, lengths an eighth", write: mooncake},
		{Name: "mixed", About: "4 x A10, the fourth 3 times slower; 60 x 5, 0.5/s, users think 5 s", write: mixed},
		{Name: "churn", About: "4 x A10; 75 x 5, 0.5/s, users think 5 s; a replica dies at a third of the arrivals and returns cold at two thirds", write: churn},
		{Name: "noreuse", About: "4 x A10; 400 requests, 5/s, each with a system prompt of its own of 200 to 1,400 tokens", write: noReuse},
		{Name: "siblings", About: "4 x A10; 55 prompts of 3,000 tokens, 8 samples of each 2 ms apart, 4 samples/s", write: siblings},
		{Name: "tight", About: "tenants with 760 KV blocks a replica", write: tenants(760, false)},
		{Name: "overload", About: "3 x A10; 170 x 5, 1/s, 1.3 times what the fleet can do; users think 5 s", write: think(3, 170, 1)},
		{Name: "drift", About: "mixed with 90 x 5; half way the slow replica recovers and another one turns slow", write: drift},
		{Name: "aborts", About: "tenants; 20 % of the requests are cancelled, a fifth of those before the first token", write: tenants(0, true)},
		{Name: "hetero", About: "agent on H100, H20, H100, H20", write: agent(h100, h20)},
	}
	all := make([]Workload, 0, 3*len(base))
	for _, large := range scales() {
		for _, w := range base {
			if large.factor > 1 {
				w.Name, w.About = w.Name+large.suffix, fmt.Sprintf("%d times the fleet and the traffic of %s", large.factor, w.Name)
			}
			w.scale = large.factor
			all = append(all, w)
		}
	}
	return all
}

type scale struct {
	suffix string // of names; about the number of replicas
	factor int
}

func scales() []scale { return []scale{{"", 1}, {"16", 4}, {"64", 16}} }

// Find returns the workloads of a comma separated list of names; all is the sixteen, all16 and all64 the large ones.
func Find(list string) ([]Workload, error) {
	all := Workloads()
	var found []Workload
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		suffix, every := strings.CutPrefix(name, "all")
		var names []string
		before := len(found)
		for _, w := range all {
			if w.scale == 1 {
				names = append(names, w.Name)
			}
			if w.Name == name || every && w.suffix() == suffix {
				found = append(found, w)
			}
		}
		if len(found) == before {
			return nil, fmt.Errorf("unknown workload %q, want all, all16, all64 or some of %s, also with 16 or 64 behind them", name, strings.Join(names, ", "))
		}
	}
	return found, nil
}

// suffix is that of its name, by its size.
func (w *Workload) suffix() string {
	for _, s := range scales() {
		if s.factor == w.scale {
			return s.suffix
		}
	}
	return ""
}

// jitter is what every arrival is late by, at most.
const jitter = 5 * time.Millisecond

// key stands for a text in a workload: whose it is, and which.
func key(seed uint64, parts ...int) uint64 {
	k := seed + 0x51ed270b
	for _, p := range parts {
		k = (k ^ uint64(p+1)) * 0x9e3779b97f4a7c15
		k ^= k >> 29
	}
	return k
}

// Kinds of text, the first part of a key.
const (
	systemText = iota
	userText
	answerText
)

func (w *Workload) machines(n int, m machine) []machine {
	return slices.Repeat([]machine{m}, n*w.scale)
}

// conversations writes sessions of 5 turns of 200 tokens with answers G(300, 800), or all of 800 tokens.
func (w *Workload) conversations(seed uint64, n int, rate, thinks float64, forced bool) []*session {
	arrivals := newDice(seed, 0)
	var at time.Duration
	all := make([]*session, n*w.scale)
	for i := range all {
		d := newDice(seed, uint64(i)+1)
		if rate > 0 {
			at += arrivals.after(1 / (rate * float64(w.scale)))
		}
		s := newWriter(fmt.Sprint("s", i), at+d.upTo(jitter))
		for k := range 5 {
			length := d.length(300, 800)
			if forced {
				length = 800
			}
			t := s.ask(key(seed, userText, i, k), 200, d.after(thinks)+d.upTo(jitter))
			t.limit = 800
			s.answer(key(seed, answerText, i, k), length)
		}
		all[i] = s.end()
	}
	return all
}

func headline(forced bool) func(*Workload, uint64) *plan {
	return func(w *Workload, seed uint64) *plan {
		return &plan{
			fleet:    w.machines(3, machine{preset: a10}),
			sessions: w.conversations(seed, 60, 0, 0, forced),
			atOnce:   20 * w.scale,
		}
	}
}

func think(replicas, sessions int, rate float64) func(*Workload, uint64) *plan {
	return func(w *Workload, seed uint64) *plan {
		return &plan{
			fleet:    w.machines(replicas, machine{preset: a10}),
			sessions: w.conversations(seed, sessions, rate, 5, false),
		}
	}
}

func mixed(w *Workload, seed uint64) *plan { return slowFourth(w, seed, 60) }

func slowFourth(w *Workload, seed uint64, sessions int) *plan {
	p := think(4, sessions, 0.5)(w, seed)
	for i := 3; i < len(p.fleet); i += 4 {
		p.fleet[i].slow = 3
	}
	return p
}

func drift(w *Workload, seed uint64) *plan {
	p := slowFourth(w, seed, 90)
	half := p.lastBegin() / 2
	for i := 0; i < len(p.fleet); i += 4 {
		p.faults = append(p.faults, fault{half, i + 3, slows, 1}, fault{half, i, slows, 3})
	}
	return p
}

func churn(w *Workload, seed uint64) *plan {
	p := think(4, 75, 0.5)(w, seed)
	last := p.lastBegin()
	for i := 1; i < len(p.fleet); i += 4 {
		p.faults = append(p.faults, fault{last / 3, i, dies, 0}, fault{2 * last / 3, i, returns, 0})
	}
	return p
}

// lastBegin is when the last session begins.
func (p *plan) lastBegin() time.Duration { return p.sessions[len(p.sessions)-1].begin }

func tenants(blocks int, aborts bool) func(*Workload, uint64) *plan {
	const apps = 12
	return func(w *Workload, seed uint64) *plan {
		arrivals := newDice(seed, 0)
		sizes := arrivals.Perm(apps) // of the system prompts, by popularity
		p := &plan{fleet: w.machines(4, machine{preset: a10, blocks: blocks})}
		var at time.Duration
		for i := range 220 * w.scale {
			at += arrivals.after(1 / (2.2 * float64(w.scale)))
			d := newDice(seed, uint64(i)+1)
			app := d.zipf(apps)
			s := newWriter(fmt.Sprint("s", i), at+d.upTo(jitter))
			s.say(key(seed, systemText, app), 500+sizes[app]*3500/(apps-1))
			turns := 1
			if x := d.Float64(); x >= 0.8 {
				turns = 3
			} else if x >= 0.5 {
				turns = 2
			}
			for k := range turns {
				s.chat(d, seed, i, k, aborts)
			}
			p.sessions = append(p.sessions, s.end())
		}
		return p
	}
}

// chat adds a turn of 30 to 200 tokens with an answer G(150, 400).
func (w *writer) chat(d dice, seed uint64, session, k int, aborts bool) {
	t := w.ask(key(seed, userText, session, k), d.even(30, 200), d.after(6)+d.upTo(jitter))
	t.limit = 400
	length := d.length(150, 400)
	if leaves, before := d.Float64() < 0.2, d.Float64() < 0.2; aborts && leaves {
		if before {
			t.early = time.Millisecond + d.upTo(50*time.Millisecond)
		} else {
			t.cut = d.even(1, length)
		}
	}
	w.answer(key(seed, answerText, session, k), length)
}

func hot(w *Workload, seed uint64) *plan {
	return w.singles(seed, func(d dice, s *writer, _ int) {
		if app := d.IntN(11); d.Float64() < 0.6 {
			s.say(key(seed, systemText, 11), 6000)
		} else {
			s.say(key(seed, systemText, app), 1000)
		}
	})
}

func noReuse(w *Workload, seed uint64) *plan {
	return w.singles(seed, func(d dice, s *writer, i int) { s.say(key(seed, systemText, i), d.even(200, 1400)) })
}

// singles writes 400 sessions of one turn, 5 a second, each behind its system prompt.
func (w *Workload) singles(seed uint64, system func(dice, *writer, int)) *plan {
	arrivals := newDice(seed, 0)
	p := &plan{fleet: w.machines(4, machine{preset: a10})}
	var at time.Duration
	for i := range 400 * w.scale {
		at += arrivals.after(1 / (5 * float64(w.scale)))
		d := newDice(seed, uint64(i)+1)
		s := newWriter(fmt.Sprint("s", i), at+d.upTo(jitter))
		system(d, s, i)
		s.chat(d, seed, i, 0, false)
		p.sessions = append(p.sessions, s.end())
	}
	return p
}

func siblings(w *Workload, seed uint64) *plan {
	const samples = 8
	arrivals := newDice(seed, 0)
	p := &plan{fleet: w.machines(4, machine{preset: a10})}
	var at time.Duration
	for i := range 55 * w.scale {
		at += arrivals.after(samples / (4 * float64(w.scale)))
		app := arrivals.IntN(12)
		for k := range samples {
			d := newDice(seed, uint64(i*samples+k)+1)
			s := newWriter(fmt.Sprint("s", i), at+time.Duration(k)*2*time.Millisecond)
			s.say(key(seed, systemText, app), 1000)
			s.ask(key(seed, userText, i), 2000, 0).limit = 400
			s.answer(key(seed, answerText, i, k), d.length(150, 400))
			p.sessions = append(p.sessions, s.end())
		}
	}
	return p
}

func agent(odd, even string) func(*Workload, uint64) *plan {
	const (
		slots, starts = 40, 250 * time.Millisecond
		until         = 75 * time.Second
		longest       = 20_000
	)
	return func(w *Workload, seed uint64) *plan {
		p := &plan{atOnce: slots * w.scale, until: until}
		for range 2 * w.scale {
			p.fleet = append(p.fleet, machine{preset: odd}, machine{preset: even})
		}
		for i := range 4 * slots * w.scale { // more than can be in that time
			d := newDice(seed, uint64(i)+1)
			var begin time.Duration
			if i < p.atOnce {
				begin = time.Duration(i) * starts / time.Duration(w.scale)
			}
			s := newWriter(fmt.Sprint("s", i), begin+d.upTo(jitter))
			s.say(key(seed, systemText), 1500)
			t := s.ask(key(seed, userText, i, 0), 500, 0)
			for k := 1; ; k++ {
				t.limit = 500
				s.answer(key(seed, answerText, i, k), d.length(120, 500))
				tool := d.even(500, 2500)
				if len(s.text)+tool > longest {
					break
				}
				s.say(key(seed, userText, i, k), tool)
				t = s.request([]uint64{s.chunks[0], s.chunk}, d.after(2)+d.upTo(jitter)) // only user messages part chunks
			}
			p.sessions = append(p.sessions, s.end())
		}
		return p
	}
}
