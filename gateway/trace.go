package gateway

import (
	"fmt"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/observe"
)

// openTrace opens the trace file if one is configured.
func (g *Gateway) openTrace(cfg *config.Config, opts Options) (err error) {
	if cfg.Observe.TraceFile == "" {
		return nil
	}
	g.traces, err = observe.OpenTrace(observe.TraceConfig{Path: cfg.Observe.TraceFile, Scale: opts.TimeScale, Log: g.log}, g.metrics)
	if err != nil {
		return fmt.Errorf("observe.trace_file: %w; name a file in a folder that warmlane may write to, or leave the key out", err)
	}
	return nil
}

// trace writes the request's line of the trace file, if it went to a pool with a prompt.
func (x *exchange) trace() {
	if x.g.traces == nil || x.prompt.Bytes == 0 || !traced(x.ep.Family) {
		return
	}
	relayed := x.passed
	if x.relay != nil && x.relay.Stream != nil {
		relayed++
	}
	x.g.traces.Write(&x.rec, &x.prompt, x.request.Session, relayed)
}

// traced says whether a family's prompts load engines: neither counting nor sound does in a way that blocks could tell.
func traced(f api.Family) bool {
	switch f {
	case api.Chat, api.Completions, api.Responses, api.Messages, api.Embeddings, api.Rerank, api.Score, api.Classify, api.Pooling:
		return true
	}
	return false
}
