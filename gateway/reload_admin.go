package gateway

import (
	"errors"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
)

// reloadNow reads the configuration again for an operator.
func (g *Gateway) reloadNow(*console.Call) (any, *failure.Error) {
	err := g.Reload("admin API")
	switch {
	case err == nil:
		return g.describeConfig(), nil
	case errors.Is(err, errStopping):
		return nil, failure.New(failure.Draining, "The gateway starts or stops at the moment.").After(time.Second)
	default:
		fail := failure.New(failure.BadRequest, "The configuration in force stays: "+err.Error())
		fail.Code = "configuration_not_reloaded"
		return nil, fail
	}
}

// adminConfig is the configuration in force and the last reading as the admin API shows them.
type adminConfig struct {
	File    string       `json:"file"`
	Loaded  time.Time    `json:"loaded_at"`
	Reloads int          `json:"reloads"`
	Last    adminReading `json:"last_read"`
}

type adminReading struct {
	At      time.Time `json:"at"`
	Trigger string    `json:"trigger,omitempty"`
	Success bool      `json:"success"`
	Faults  []string  `json:"faults,omitempty"`
	Kept    []string  `json:"waiting_for_restart,omitempty"` // keys
}

func (g *Gateway) describeConfig() adminConfig {
	file := g.state.Load().cfg.File()
	rs := &g.reloads
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := &rs.last
	d := adminConfig{
		File: file, Loaded: rs.loaded, Reloads: rs.count,
		Last: adminReading{At: r.at, Trigger: r.trigger, Success: r.err == nil, Kept: r.kept},
	}
	if faults, ok := config.AsFaults(r.err); ok {
		for _, f := range faults {
			d.Last.Faults = append(d.Last.Faults, f.String())
		}
	} else if r.err != nil {
		d.Last.Faults = []string{r.err.Error()}
	}
	return d
}
