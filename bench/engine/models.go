package engine

import (
	"fmt"

	"github.com/valyala/fasthttp"
)

// handleModels lists the served names; adapters name the model that they belong to.
func (l *life) handleModels(ctx *fasthttp.RequestCtx) {
	if !method(ctx, fasthttp.MethodGet) {
		return
	}
	cfg := &l.s.cfg
	created := l.started.Unix()
	base := len(cfg.Aliases) + 1
	out := []byte(`{"object":"list","data":[`)
	for i, name := range l.s.names() {
		parent := []byte("null")
		if i >= base {
			parent = appendString(nil, cfg.Model)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `{"id":%s,"object":"model","created":%d,"owned_by":"vllm","root":%s,"parent":%s,"max_model_len":%d,`,
			appendString(nil, name), created, appendString(nil, "/models/"+cfg.Model), parent, cfg.MaxModelLen)
		out = fmt.Appendf(out, `"permission":[{"id":"modelperm-%016x","object":"model_permission","created":%d,"allow_create_engine":false,`+
			`"allow_sampling":true,"allow_logprobs":true,"allow_search_indices":false,"allow_view":true,"allow_fine_tuning":false,`+
			`"organization":"*","group":null,"is_blocking":false}]}`, hashString(3, name), created)
	}
	writeJSON(ctx, 200, append(out, `]}`...))
}
