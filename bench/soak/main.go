// Command soak lets a gateway live through weeks of trouble in half an hour: simulated engines that die, vanish, hang, fail, refuse, slow
// down and cut their streams at random, and clients that leave, at a steady rate of requests.
//
//	go run ./bench/soak                      # 30 minutes at 300 requests/s
//	go run ./bench/soak -for 5m -rate 100
//
// Never more than half of the engines are in trouble at once. It prints memory and goroutines as they go and exits with 1 when a request
// failed that had not begun, when a stream ended without a word, when memory or goroutines grew, or when goroutines are left at the end.
// Gateway, engines and clients are one process, so the figures are those of all three.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	length := flag.Duration("for", 30*time.Minute, "length")
	rate := flag.Float64("rate", 300, "requests a second")
	engines := flag.Int("engines", 4, "simulated engines")
	seed := flag.Uint64("seed", 1, "of faults and clients")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *length, *rate, *engines, *seed)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, length time.Duration, rate float64, engines int, seed uint64) error {
	if length <= 0 || rate <= 0 || engines < 2 {
		return errors.New("it wants a length and a rate above 0, and two engines at least")
	}
	before := look()
	s, err := raise(engines)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	crowd := newCrowd(s.address, seed)
	trouble := newTrouble(s.engines, seed)
	done := make(chan struct{})
	go func() {
		defer close(done)
		trouble.run(ctx)
	}()
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		crowd.run(ctx, rate)
	}()
	samples := watch(ctx, length/60, func(m sample) { fmt.Println(m, crowd) })
	<-done
	<-loaded
	crowd.close()
	err = s.close()
	fmt.Printf("faults: %s\n%s\n", trouble, crowd)
	return errors.Join(err, crowd.verdict(), flat(samples), left(before))
}
