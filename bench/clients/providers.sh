#!/usr/bin/env bash
# Lets the official SDKs talk to the simulated outside services, and the openai SDK to warmlane in front of them.
set -euo pipefail

sdks=(openai==3.57.0 anthropic==2.14.0 google-genai==3.6.1 boto3==1.44.8 botocore==1.44.8)

here=$(cd "$(dirname "$0")" && pwd)
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/warmlane-clients}
port=${PORT:-28100}

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

mkdir -p "$cache"
venv=$cache/providers
[[ -x $venv/bin/python ]] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "${sdks[@]}"

# Three services on three ports in a row, then the gateway's two.
cat >"$work/warmlane.yaml" <<YAML
server: {listen: "127.0.0.1:$((port + 3))", admin: "127.0.0.1:$((port + 4))"}
providers:
  - {name: anthropic, kind: anthropic, base_url: "http://127.0.0.1:$port", keys: [sk-ant-test], models: [claude-haiku-4-5]}
  - {name: gemini, kind: gemini, base_url: "http://127.0.0.1:$((port + 1))", keys: [gemini-test], models: [gemini-3-pro, gemini-embedding-001]}
  - name: bedrock
    kind: bedrock
    region: eu-west-1
    base_url: "http://127.0.0.1:$((port + 2))"
    keys: ["AKIDTEST:secret/test"]
    models: ["eu.anthropic.claude-sonnet-4-5-20250929-v1:0"]
  - {name: locked, kind: anthropic, base_url: "http://127.0.0.1:$port", keys: [sk-ant-revoked], models: [locked]}
YAML
(cd "$here/../.." && go build -o "$work/" ./cmd/warmlane ./bench/clients/outside)
"$work/outside" --port "$port" >"$work/outside.log" 2>&1 &
pids+=($!)
"$work/warmlane" serve --config "$work/warmlane.yaml" >"$work/gateway.log" 2>&1 &
pids+=($!)
curl --silent --fail --retry 10 --retry-delay 1 --retry-connrefused --output /dev/null "http://127.0.0.1:$((port + 4))/readyz" ||
  { cat "$work/gateway.log"; exit 1; }
PORT=$port "$venv/bin/python" "$here/providers.py"
