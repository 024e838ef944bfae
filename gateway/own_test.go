package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestOwn_ModelsAndHealth(t *testing.T) {
	u, _ := counting(t, good)
	r := newRig(t, `
server: {lame_duck: 0s, drain: 2s}
pools: [{name: m, endpoints: ENGINES, models: [m-lora]}]
routes: [{models: [alias], targets: [{pool: m}]}]
`, u)
	a := r.do("GET", "/v1/models", "")
	var list struct {
		Object string
		Data   []struct {
			ID, Object string
			Created    int64
			OwnedBy    string `json:"owned_by"`
		}
	}
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || list.Object != "list" {
		t.Fatalf("%v: %s", err, a.body)
	}
	var ids []string
	for _, m := range list.Data {
		ids = append(ids, m.ID)
		if m.Object != "model" || m.Created == 0 || m.OwnedBy == "" {
			t.Errorf("model %+v", m)
		}
	}
	if strings.Join(ids, " ") != "m m-lora alias" {
		t.Errorf("models %v", ids)
	}
	if a := r.do("GET", "/v1/models/alias", ""); a.status != 200 || !strings.Contains(a.body, `"id":"alias"`) {
		t.Errorf("one model: %d %s", a.status, a.body)
	}
	if a := r.do("GET", "/v1/models/none", ""); a.status != 404 || a.code() != "model_not_found" {
		t.Errorf("no model: %d %s", a.status, a.body)
	}
	if a := r.do("GET", "/health", ""); a.status != 200 {
		t.Errorf("health: %d", a.status)
	}
}

// A stored response is asked for at the endpoint that made it.
func TestStored_ResponsesGoBackToTheirEndpoint(t *testing.T) {
	serve := func(id string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			id := id
			if r.ContentLength > 1<<20 {
				id = "c"
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":"resp_`+id+`","object":"response","status":"completed","output":[],"seen":"`+r.Method+" "+r.URL.Path+`"}`)
		}
	}
	u1, n1 := counting(t, serve("a"))
	u2, n2 := counting(t, serve("b"))
	r := newRig(t, onePool, u1, u2)
	for range 2 {
		if a := r.post("/v1/responses", `{"model":"m","input":"hi"}`); a.status != 200 {
			t.Fatalf("answered %d %s", a.status, a.body)
		}
	}
	for range 3 {
		if a := r.do("GET", "/v1/responses/resp_b", ""); !strings.Contains(a.body, `"seen":"GET /v1/responses/resp_b"`) {
			t.Errorf("answered %d %s", a.status, a.body)
		}
	}
	if a := r.post("/v1/responses/resp_a/cancel", ""); !strings.Contains(a.body, `"seen":"POST /v1/responses/resp_a/cancel"`) {
		t.Errorf("cancel answered %d %s", a.status, a.body)
	}
	if n1.Load() != 2 || n2.Load() != 4 {
		t.Errorf("calls %d and %d, want 2 and 4", n1.Load(), n2.Load())
	}
	if a := r.post("/v1/responses", `{"model":"m","input":"hi","user":"`+strings.Repeat("u", 1<<20)+`"}`); a.status != 200 || !strings.Contains(a.body, "resp_c") {
		t.Errorf("a long name is answered %d %s", a.status, a.body)
	}
	if a := r.do("GET", "/v1/responses/resp_c", ""); a.status != 404 {
		t.Errorf("a long name is kept: %d %s", a.status, a.body)
	}
	if a := r.do("GET", "/v1/responses/resp_zzz", ""); a.status != 404 || a.code() != "response_not_found" {
		t.Errorf("unknown answered %d %s", a.status, a.body)
	}
}

func TestAdmin_PoolsAndEndpoints(t *testing.T) {
	u, _ := counting(t, good)
	r := newRig(t, onePool, u)
	if a := r.post(chat, plainChat); a.status != 200 {
		t.Fatal(a)
	}
	admin := *r
	admin.URL = r.Admin
	var got struct {
		Pools []struct {
			Name, Policy string
			Endpoints    []struct {
				URL, State, Admin string
				Requests          int
			}
		}
	}
	a := admin.do("GET", "/admin/v1/pools", "")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || len(got.Pools) != 1 || len(got.Pools[0].Endpoints) != 1 {
		t.Fatalf("%v: %s", err, a.body)
	}
	if e := got.Pools[0].Endpoints[0]; e.URL != u || e.State != "serving" || e.Requests != 1 {
		t.Errorf("endpoint %+v", e)
	}
	if a := admin.post("/admin/v1/endpoints/state", `{"pool":"m","url":"`+u+`","state":"draining"}`); a.status != 200 {
		t.Errorf("drain answered %d %s", a.status, a.body)
	}
	if a := r.post(chat, plainChat); a.status != 503 {
		t.Errorf("a draining pool answered %d %s", a.status, a.body)
	}
	if a := admin.post("/admin/v1/endpoints/state", `{"pool":"m","url":"`+u+`","state":"asleep"}`); a.status != 400 || a.code() == "" {
		t.Errorf("a nonsense state answered %d %s", a.status, a.body)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/admin/v1/none": 404, "/v1/models": 404} {
		if a := admin.do("GET", path, ""); a.status != want {
			t.Errorf("%s answered %d", path, a.status)
		}
	}
	metrics := admin.do("GET", "/metrics", "").body
	for _, want := range []string{
		"warmlane_requests_total", `warmlane_pool_answer_tokens{pool="m"} `, `warmlane_pool_prompt_tokens{pool="m"} `,
		`warmlane_endpoint_attempts_ended_total{cause="ok",endpoint="` + u + `",pool="m"} 1`,
		`warmlane_endpoint_foreign_requests{endpoint="` + u + `",pool="m"} 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if a := r.do("GET", "/metrics", ""); a.status != 404 {
		t.Errorf("metrics are on the application listener: %d", a.status)
	}
}

// The admin API and the metrics tell why an endpoint does not serve, and for how long.
func TestAdmin_TellsWhy(t *testing.T) {
	u, _ := counting(t, status(503, `{"error":{"message":"queue is full","code":503}}`))
	r := newRig(t, strings.Replace(onePool, "policy: round_robin", "policy: round_robin, queue: {max: 0}", 1), u)
	r.post(chat, plainChat)
	admin := *r
	admin.URL = r.Admin
	var got struct {
		Endpoints []struct {
			State, Reason string
			Out           float64 `json:"out_for_seconds"`
		}
	}
	a := admin.do("GET", "/admin/v1/endpoints", "")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || len(got.Endpoints) != 1 {
		t.Fatalf("%v: %s", err, a.body)
	}
	if e := got.Endpoints[0]; e.State != "paused" || e.Reason != "refused for want of capacity" || e.Out <= 0 || e.Out > 0.7 {
		t.Errorf("endpoint %+v, want it paused for half a second", e)
	}
	want := `warmlane_endpoint_reason{endpoint="` + u + `",pool="m",reason="refused for want of capacity"} 1`
	if metrics := admin.do("GET", "/metrics", "").body; !strings.Contains(metrics, want) {
		t.Errorf("metrics lack %s", want)
	}
}
