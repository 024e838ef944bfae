package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/usage"
)

// reportPatience bounds the reading of what was used.
const reportPatience = 20 * time.Second

// openUsage opens the counts of usage, or goes on with those of before where their store is the same.
func (g *Gateway) openUsage(cfg *config.Config, old *state) (*usage.Book, error) {
	if old.usage != nil && cfg.Redis == old.cfg.Redis {
		return old.usage, nil
	}
	return usage.Open(usage.Options{Usage: cfg.Usage, Redis: cfg.Redis, Log: g.log, Saved: g.metrics.UsageSaved})
}

// account counts what the request used. Requests whose caller or body was refused belong to nobody and to no model: only metrics count them.
func (x *exchange) account(fail *failure.Error) {
	if x.view == nil && x.rec.Pool == "" {
		return
	}
	used, estimated := x.used()
	e := usage.Entry{
		Consumer: x.consumer.Name, App: x.app, Target: x.rec.Pool, Route: x.rec.Route,
		Failed: fail != nil, Cached: x.recited, Estimated: estimated,
		Prompt: used.Input, CachedPrompt: used.Cached, Output: used.Output,
	}
	if x.route != nil { // what no route knows is no model
		e.Model = x.view.Model
		e.Cost = x.state.cfg.Prices.Of(e.Model).Cost(used.Input, used.Cached, used.Output)
		x.rec.Cost = e.Cost
	}
	x.state.usage.Record(&e)
}

// reportUsage tells what was used, as JSON or CSV.
func (g *Gateway) reportUsage(c *console.Call) (any, *failure.Error) {
	q, asCSV, fail := readUsageQuery(c)
	if fail != nil {
		return nil, fail
	}
	ctx, cancel := context.WithTimeout(context.Background(), reportPatience)
	defer cancel()
	s := g.state.Load()
	r, err := s.usage.Report(ctx, q)
	var bad *usage.BadQuery
	switch {
	case errors.As(err, &bad):
		return nil, failure.Bad(bad.Param, "The parameter %s.", bad.Error())
	case err != nil:
		fail := failure.New(failure.LimitsAway, "Usage cannot be read at the moment. It goes on being counted.").Because(err)
		fail.Code = "usage_away"
		return nil, fail
	}
	if !asCSV {
		r.Currency = s.cfg.Prices.Currency
		return r, nil
	}
	text, err := r.CSV()
	if err != nil {
		return nil, failure.New(failure.Internal, "The gateway failed to write the report.").Because(err)
	}
	return &console.Document{Type: "text/csv; charset=utf-8; header=present", Name: fmt.Sprintf("usage_%s_%s.csv", r.From, r.To), Body: text}, nil
}

// readUsageQuery reads what is asked for: from, to, by, format, and for each dimension but the day the values that count.
func readUsageQuery(c *console.Call) (q usage.Query, asCSV bool, fail *failure.Error) {
	values := usage.Dimensions()[1:]
	all, fail := c.Query(append([]string{"from", "to", "by", "format"}, values...)...)
	if fail != nil {
		return q, false, fail
	}
	q.From, q.To = all.Get("from"), all.Get("to")
	for _, name := range values {
		d, _ := usage.DimensionOf(name)
		q.Only[d] = all[name]
	}
	by := "day,consumer,model"
	if all.Has("by") {
		by = strings.Join(all["by"], ",")
	}
	for name := range strings.SplitSeq(by, ",") {
		d, ok := usage.DimensionOf(strings.TrimSpace(name))
		switch {
		case name == "" && by == "": // one row of all
		case !ok:
			return q, false, failure.Bad("by", "Usage is not told apart by %q. Write some of %s.", name, strings.Join(usage.Dimensions(), ", "))
		case slices.Contains(q.By, d):
			return q, false, failure.Bad("by", "%s is named twice.", d)
		default:
			q.By = append(q.By, d)
		}
	}
	switch format := all.Get("format"); {
	case format == "csv", format == "" && c.Accepts("text/csv"):
		return q, true, nil
	case format == "json", format == "":
		return q, false, nil
	default:
		return q, false, failure.Bad("format", "%q is no format. Write json or csv.", format)
	}
}
