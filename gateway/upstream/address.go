package upstream

import (
	"context"
	"net"
	"time"
)

// nextAddress is how long one address of a name may keep the dial waiting before the next is tried beside it (RFC 8305, 5). Go's own dialer
// gives the first address 2 s, which is more than a whole connect timeout.
const nextAddress = 250 * time.Millisecond

// addressesOf looks the host of host:port up and returns each of its addresses with the port; an address is its own.
func addressesOf(ctx context.Context, address string) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	all := make([]string, len(ips))
	for i, ip := range ips {
		all[i] = net.JoinHostPort(ip.String(), port)
	}
	return all, nil
}

// dialFirst connects to the first of the addresses that answers. They are tried in their order, each as soon as the one before has failed
// or keeps still. Where none answers the first failure is told, or a timeout: a name refuses
// only if no address of it keeps still. Keep-alive probes find peers that vanished without a word; TCP_USER_TIMEOUT
// bounds unacknowledged writes. Go sets TCP_NODELAY by itself.
func dialFirst(ctx context.Context, addresses []string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: 15 * time.Second, Control: userTimeout}
	if len(addresses) == 1 {
		return d.DialContext(ctx, "tcp", addresses[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results, over := make(chan result), make(chan struct{})
	defer close(over)
	try := func(address string) {
		c, err := d.DialContext(ctx, "tcp", address)
		select {
		case results <- result{c, err}:
		case <-over:
			if err == nil {
				_ = c.Close()
			}
		}
	}
	next := time.NewTimer(0)
	defer next.Stop()
	var failed error
	for begun, ended := 0, 0; ; {
		select {
		case <-next.C:
			if begun < len(addresses) {
				go try(addresses[begun])
				begun++
				next.Reset(nextAddress)
			}
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			if failed == nil || isTimeout(r.err) {
				failed = r.err
			}
			if ended++; ended == len(addresses) {
				return nil, failed
			}
			next.Reset(0)
		}
	}
}
