#!/bin/bash
# Starts real vLLM replicas on loopback and waits until each has answered a request:
#   up.sh [N=2] [-- more arguments for vllm serve]
# It prints a line "URL PID" for each. Environment, with defaults:
#   WARMLANE_REAL_DIR   where install.sh put things ($XDG_CACHE_HOME/warmlane-real)
#   WARMLANE_REAL_PORT  port of the first replica, the others follow (23111)
#   BLOCKS, BLOCK_SIZE  KV memory of a replica: blocks of tokens (4096 of 32); a CPU needs a multiple of 32
#   MAX_LEN, MAX_SEQS   longest context in tokens (8192), largest batch (16)
# A replica takes 2.7 GB of memory, two minutes to start on two idle cores, and then holds some 3 requests/s of 900 tokens.
set -euo pipefail

n=2
if [ $# -gt 0 ] && [ "$1" != -- ]; then n=$1; shift; fi
if [ "${1:-}" = -- ]; then shift; fi
here=$(cd "$(dirname "$0")" && pwd)
dir=${WARMLANE_REAL_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/warmlane-real}
port=${WARMLANE_REAL_PORT:-23111}
run=$dir/run

"$here/install.sh" >/dev/null
mkdir -p "$run"

# One thread each, pinned nowhere: two replicas, the gateway and the load share the machine. Nothing is fetched or reported.
export OMP_NUM_THREADS=1 VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_CPU_KVCACHE_SPACE=1 TOKENIZERS_PARALLELISM=false
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
# Development mode has /reset_prefix_cache, which makes a cache cold without a restart.
export VLLM_SERVER_DEV_MODE=1

start() { # port, arguments
    local at=$1
    shift
    # A session of its own, so that down.sh can end the engine's workers with it.
    setsid "$dir/venv/bin/vllm" serve "$dir/model" --served-model-name tiny --load-format dummy --dtype float32 --enforce-eager \
        --host 127.0.0.1 --port "$at" --max-model-len "${MAX_LEN:-8192}" --max-num-seqs "${MAX_SEQS:-16}" \
        --block-size "${BLOCK_SIZE:-32}" --num-gpu-blocks-override "${BLOCKS:-4096}" \
        --enable-prompt-tokens-details --enable-request-id-headers "$@" >"$run/$at.log" 2>&1 </dev/null &
    echo $! >"$run/$at.pid"
}

await() { # port
    local at=$1 pid
    pid=$(cat "$run/$at.pid")
    for _ in $(seq 600); do
        if curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$at/health"; then
            warm "$at"
            echo "http://127.0.0.1:$at $pid"
            return
        fi
        if ! kill -0 "$pid" 2>/dev/null; then
            echo "the replica at port $at died; the end of $run/$at.log:" >&2
            tail -n 5 "$run/$at.log" >&2
            return 1
        fi
        sleep 1
    done
    echo "the replica at port $at is not healthy after 600 s, see $run/$at.log" >&2
    return 1
}

# The first request of a replica is slow, for it sets things up.
warm() { # port
    curl --silent --show-error --fail --max-time 120 --output /dev/null "http://127.0.0.1:$1/v1/chat/completions" \
        --header 'Content-Type: application/json' \
        --data '{"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}'
}

for i in $(seq 0 $((n - 1))); do
    if curl --silent --max-time 1 --output /dev/null "http://127.0.0.1:$((port + i))/"; then
        echo "port $((port + i)) is taken; down.sh stops replicas of an earlier run" >&2
        exit 1
    fi
done
for i in $(seq 0 $((n - 1))); do start $((port + i)) "$@"; done
for i in $(seq 0 $((n - 1))); do await $((port + i)); done
