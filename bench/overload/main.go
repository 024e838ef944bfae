// Command overload shows what a pool does with more requests than it can serve: how many answers are still good, and what becomes of the
// urgent ones. It puts the balancer's own code and its queue before simulated engines in virtual time.
//
//	go run ./bench/overload
//	go run ./bench/overload -workload long -seeds 5
//
// A good answer has its first token within 3 s of the request's arrival and a token at least every 100 ms on average. A tenth of the
// requests are urgent (priority -10). Figures depend on the flags alone, not on the machine.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

func main() {
	name := flag.String("workload", "short", "short: prompts of 200 to 1,000 tokens, answers of 150; slots: the same before engines of 12 slots; long: 2,000 to 6,000 and 100")
	seeds := flag.Int("seeds", 3, "runs of each row")
	flag.Parse()
	if err := run(os.Stdout, *name, *seeds); err != nil {
		fmt.Fprintln(os.Stderr, "overload:", err)
		os.Exit(1)
	}
}

// workload is what is asked of three replicas, and about how many requests a second they can serve.
func workload(name string) (scenario, error) {
	s := scenario{preset: "a10-llama3-8b", replicas: 3, length: 3 * time.Minute, urgent: 0.1, slo: slo{3 * time.Second, 100 * time.Millisecond}}
	switch name {
	case "short":
		s.asked, s.answer, s.rate = [2]int{200, 1000}, 150, 11
	case "slots":
		s.asked, s.answer, s.rate, s.slots = [2]int{200, 1000}, 150, 5.5, 12
	case "long":
		s.asked, s.answer, s.rate = [2]int{2000, 6000}, 100, 1.6
	default:
		return s, fmt.Errorf("workload %q: it is short, slots or long", name)
	}
	return s, nil
}

// setting is one way to configure the pool.
type setting struct {
	name  string
	queue balancer.QueueConfig
	cap   int
}

func settings() []setting {
	queue := func(wait, late, shed time.Duration) balancer.QueueConfig {
		return balancer.QueueConfig{Max: 1000, Wait: wait, Late: late, Shed: shed}
	}
	const ms = time.Millisecond
	return []setting{
		{"defaults", queue(10*time.Second, 0, 0), 0},
		{"max_concurrency: 30", queue(10*time.Second, 0, 0), 30},
		{"late: 300ms", queue(10*time.Second, 300*ms, 0), 0},
		{"wait: 2s, late: 300ms", queue(2*time.Second, 300*ms, 0), 0},
		{"wait: 2s, late: 300ms, shed: 500ms", queue(2*time.Second, 300*ms, 500*ms), 0},
		{"late: 300ms, shed: 500ms", queue(10*time.Second, 300*ms, 500*ms), 0},
	}
}

func run(out io.Writer, name string, seeds int) error {
	base, err := workload(name)
	if err != nil {
		return err
	}
	capacity := base.rate
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "queue\tload\tgood/s\tgood tokens/s\tTTFT p50 s\tp99\trefused %\tat once %\turgent good %\turgent TTFT p99 s\twaiting\t")
	for _, set := range settings() {
		for _, load := range []float64{0.7, 1, 1.5, 2, 3} {
			sum := result{}
			for seed := range seeds {
				s := base
				s.rate, s.queue, s.cap, s.seed = capacity*load, set.queue, set.cap, uint64(1000+seed)
				r, err := s.play()
				if err != nil {
					return err
				}
				sum.add(r)
			}
			sum.row(tab, set.name, load, (base.length-base.settle()).Seconds()*float64(seeds))
		}
	}
	return tab.Flush()
}

// row prints what runs of so many seconds together came to.
func (r *result) row(out io.Writer, name string, load, seconds float64) {
	n, u := &r.usual, &r.urgent
	all := float64(n.all + u.all)
	fmt.Fprintf(out, "%s\t%.1fx\t%.2f\t%.0f\t%.2f\t%.2f\t%.0f\t%.0f\t%.0f\t%.2f\t%d\t\n", name, load,
		float64(n.good+u.good)/seconds, float64(n.tokens+u.tokens)/seconds, quantile(n.first, 0.5), quantile(n.first, 0.99),
		100*float64(n.refused+n.expired+u.refused+u.expired)/all, 100*float64(n.refused+u.refused)/all,
		100*float64(u.good)/float64(u.all), quantile(u.first, 0.99), r.longest)
}
