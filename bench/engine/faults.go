package engine

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FaultKind is something that happens to a replica.
type FaultKind string

// The kinds of faults. Each stays until another one follows; FaultReturn ends all of them except a slow factor.
const (
	FaultDie      FaultKind = "die"      // the process is killed: the port closes, connections are reset
	FaultVanish   FaultKind = "vanish"   // the port closes but open connections stay, silent, as vLLM's do after SIGTERM
	FaultDrain    FaultKind = "drain"    // new requests get 500, /health stays 200, running ones finish
	FaultHang     FaultKind = "hang"     // connections are accepted and requests read, nothing is ever answered
	FaultRefuse   FaultKind = "refuse"   // new requests get the status of the fault: 429 or 503
	FaultError500 FaultKind = "error500" // new requests get 500
	FaultCut      FaultKind = "cut"      // the running streams end cleanly but without finish_reason and [DONE]; happens once
	FaultSlow     FaultKind = "slow"     // steps take Factor times as long
	FaultReturn   FaultKind = "return"   // back to normal; a dead replica starts again with an empty cache
)

// Fault is one entry of a replica's schedule.
type Fault struct {
	Kind   FaultKind
	At     time.Duration // simulated time since the first start
	Status int           // of FaultRefuse; zero: 503
	Factor float64       // of FaultSlow
}

// ParseFaults reads a schedule such as "die@30s,return@60s", "refuse=429@10s" or "slow=2.5@20s".
func ParseFaults(text string) ([]Fault, error) {
	var faults []Fault
	for entry := range strings.SplitSeq(text, ",") {
		f, err := parseFault(strings.TrimSpace(entry))
		if err != nil {
			return nil, fmt.Errorf("reading fault %q: %w", entry, err)
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func parseFault(entry string) (Fault, error) {
	what, when, ok := strings.Cut(entry, "@")
	if !ok {
		return Fault{}, fmt.Errorf("it has the form kind@time, for example die@30s")
	}
	at, err := time.ParseDuration(when)
	if err != nil {
		return Fault{}, err
	}
	name, value, valued := strings.Cut(what, "=")
	f := Fault{Kind: FaultKind(name), At: at}
	switch f.Kind {
	case FaultRefuse:
		f.Status = 503
		if valued {
			if f.Status, err = strconv.Atoi(value); err != nil || (f.Status != 429 && f.Status != 503) {
				return f, fmt.Errorf("refuse wants 429 or 503")
			}
		}
	case FaultSlow:
		if f.Factor, err = strconv.ParseFloat(value, 64); err != nil || f.Factor <= 0 {
			return f, fmt.Errorf("slow wants a factor, for example slow=2.5@20s")
		}
	case FaultDie, FaultVanish, FaultDrain, FaultHang, FaultError500, FaultCut, FaultReturn:
		if valued {
			return f, fmt.Errorf("%s takes no value", name)
		}
	default:
		return f, fmt.Errorf("there are die, vanish, drain, hang, refuse, error500, cut, slow and return")
	}
	return f, nil
}

// Apply makes a fault happen now.
func (s *Server) Apply(f Fault) error {
	s.cfg.Log.Info("fault", "engine", s.addr, "kind", f.Kind)
	switch f.Kind {
	case FaultDie:
		s.Kill()
	case FaultVanish:
		s.current().vanish()
	case FaultHang:
		s.current().hang()
	case FaultCut:
		s.current().cut()
	case FaultSlow:
		if f.Factor <= 0 {
			return fmt.Errorf("applying fault slow: factor %v must be positive", f.Factor)
		}
		s.SetSlow(f.Factor)
	case FaultDrain, FaultRefuse, FaultError500:
		s.mu.Lock()
		s.mode = f
		s.mu.Unlock()
	case FaultReturn:
		return s.comeBack()
	default:
		return fmt.Errorf("applying fault %q: unknown kind", f.Kind)
	}
	return nil
}

// comeBack ends a fault; a replica whose port is closed starts again.
func (s *Server) comeBack() error {
	l := s.current()
	if l.closed() {
		return s.Restart()
	}
	l.resume()
	s.mu.Lock()
	s.mode = Fault{}
	s.mu.Unlock()
	return nil
}

// runFaults works off the schedule of the configuration. It is a goroutine of the server and ends with it.
func (s *Server) runFaults() {
	var now time.Duration
	for _, f := range s.cfg.Faults {
		if !s.sleep(f.At-now, nil) {
			return
		}
		now = f.At
		if err := s.Apply(f); err != nil {
			s.cfg.Log.Error("fault failed", "engine", s.addr, "kind", f.Kind, "err", err)
		}
	}
}
