package sweep

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/warmlane/warmlane/bench/engine"
)

// Fleet is a set of replicas, in order.
type Fleet []machine

// String writes the fleet as [ParseFleet] reads it.
func (f Fleet) String() string {
	var parts []string
	for i := 0; i < len(f); {
		n := 1
		for i+n < len(f) && f[i+n] == f[i] {
			n++
		}
		part := fmt.Sprintf("%dx%s", n, f[i].preset)
		if f[i].blocks > 0 {
			part += fmt.Sprint(":blocks=", f[i].blocks)
		}
		if f[i].slow > 0 {
			part += fmt.Sprint(":slow=", f[i].slow)
		}
		parts = append(parts, part)
		i += n
	}
	return strings.Join(parts, ",")
}

// mostReplicas bounds a fleet.
const mostReplicas = 1024

// ParseFleet reads a fleet such as 3xa10-llama3-8b or 2xh100-80-llama3-8b,1xa10-llama3-8b:slow=3:blocks=760.
func ParseFleet(text string) (Fleet, error) {
	var f Fleet
	for part := range strings.SplitSeq(text, ",") {
		fields := strings.Split(strings.TrimSpace(part), ":")
		number, preset, found := strings.Cut(fields[0], "x")
		n, err := strconv.Atoi(number)
		if !found || err != nil || n < 1 || n > mostReplicas-len(f) {
			return nil, fmt.Errorf("fleet %q: want a number of replicas (1 to %d in all), x and a preset, such as 3x%s", part, mostReplicas, engine.DefaultPreset)
		}
		if _, err := engine.LookupPreset(preset); err != nil {
			return nil, fmt.Errorf("fleet %q: %w", part, err)
		}
		m := machine{preset: preset}
		for _, option := range fields[1:] {
			if err := m.set(option); err != nil {
				return nil, fmt.Errorf("fleet %q: %w", part, err)
			}
		}
		for range n {
			f = append(f, m)
		}
	}
	return f, nil
}

func (m *machine) set(option string) error {
	name, value, _ := strings.Cut(option, "=")
	x, err := strconv.ParseFloat(value, 64)
	switch {
	case name == "slow" && err == nil && x > 0 && x <= 1e7:
		m.slow = x
	case name == "blocks" && err == nil && x >= 1 && x <= 1e7:
		m.blocks = int(x)
	default:
		return fmt.Errorf("option %q: want slow=FACTOR above 0 or blocks=NUMBER from 1, both at most 10,000,000", option)
	}
	return nil
}
