//go:build !linux

package engine

import "net"

// watch does nothing on systems other than Linux: there a client that left is noticed by the failed write.
type watch struct{}

func startWatch(net.Conn, func()) *watch { return nil }

func (w *watch) stop() {}
