package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

// pool is as in production, but for a first event that is waited for 2 s, since these engines are 20 times as fast as real ones.
const pool = `
server: {lame_duck: 0s, drain: 5s}
observe: {log: {level: error}}
pools: [{name: m, endpoints: [%s], health: {interval: 1s}, timeouts: {first_event: 2s, between_events: 2s}, queue: {late: 300ms}}]
`

// stage is a gateway before simulated engines.
type stage struct {
	engines []*engine.Server
	address string
	stop    context.CancelFunc
	ended   chan error
}

func raise(engines int) (*stage, error) {
	s := &stage{ended: make(chan error, 1), stop: func() {}}
	var urls []string
	for i := range engines {
		e, err := engine.Start(engine.Config{Model: "m", Replica: i, TimeScale: 20})
		if err != nil {
			return nil, errors.Join(err, s.closeEngines())
		}
		s.engines = append(s.engines, e)
		urls = append(urls, fmt.Sprintf("%q", e.URL()))
	}
	cfg, err := config.Parse("soak.yaml", fmt.Appendf(nil, pool, strings.Join(urls, ", ")))
	if err != nil {
		return nil, errors.Join(err, s.closeEngines())
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, errors.Join(err, s.closeEngines())
		}
	}
	g, err := gateway.New(cfg, gateway.Options{Listener: listeners[0], AdminListener: listeners[1], Log: slog.DiscardHandler})
	if err != nil {
		return nil, errors.Join(err, s.closeEngines())
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.address = listeners[0].Addr().String()
	go func() { s.ended <- g.Run(ctx) }()
	return s, nil
}

// close stops the gateway, then the engines.
func (s *stage) close() error {
	s.stop()
	return errors.Join(<-s.ended, s.closeEngines())
}

func (s *stage) closeEngines() error {
	var err error
	for _, e := range s.engines {
		err = errors.Join(err, e.Close())
	}
	return err
}
