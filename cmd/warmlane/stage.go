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

// stage is one gateway over simulated replicas of its own, all in this process and on free loopback ports.
type stage struct {
	servers []*engine.Server
	url     string // of the gateway
	end     context.CancelFunc
	ended   chan error // what the gateway's Run returned
}

// raise opens the replicas and a gateway that balances over them by the policy. close must be called on it.
// It records the requests in traceFile unless that is "".
func raise(policy string, replica engine.Config, replicas int, traceFile string) (*stage, error) {
	s := &stage{end: func() {}, ended: make(chan error, 1)}
	for i := range replicas {
		replica.Replica = i
		server, err := engine.Start(replica)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.servers = append(s.servers, server)
	}
	if err := s.gateway(policy, replica.Model, traceFile); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) gateway(policy, model, traceFile string) error {
	cfg, err := config.FromPools([]string{model + "=" + strings.Join(s.engines(), ",")})
	if err != nil {
		return fmt.Errorf("configuring the gateway: %w", err)
	}
	cfg.Pools[0].Policy = config.Policy{Name: policy}
	cfg.Server.LameDuck = 0 // nobody has to notice that it stops
	cfg.Observe.Explain, cfg.Observe.TraceFile = true, traceFile
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("opening a port for the gateway: %w", err)
	}
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(fmt.Errorf("opening a port for the gateway: %w", err), listener.Close())
	}
	g, err := gateway.New(cfg, gateway.Options{Log: slog.DiscardHandler, Listener: listener, AdminListener: admin})
	if err != nil {
		return errors.Join(fmt.Errorf("making the gateway: %w", err), listener.Close(), admin.Close())
	}
	s.url = "http://" + g.Addr().String()
	var ctx context.Context
	ctx, s.end = context.WithCancel(context.Background())
	go func() { s.ended <- g.Run(ctx) }() // ends with close
	return nil
}

// engines are the URLs of the replicas.
func (s *stage) engines() []string {
	urls := make([]string, len(s.servers))
	for i, server := range s.servers {
		urls[i] = server.URL()
	}
	return urls
}

// lag is how late the replicas' events were, as a share of their scheduled times.
func (s *stage) lag() float64 {
	var sum engine.Lag
	for _, server := range s.servers {
		sum = sum.Add(server.Lag())
	}
	return sum.Share()
}

// close ends the gateway, then the replicas, and waits for both.
func (s *stage) close() error {
	var err error
	if s.url != "" {
		s.end()
		err = <-s.ended
	}
	for _, server := range s.servers {
		err = errors.Join(err, server.Close())
	}
	return err
}
