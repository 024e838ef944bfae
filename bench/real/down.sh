#!/bin/bash
# Stops the replicas that up.sh started: SIGTERM, after 5 s SIGKILL to what is left of each one's session.
set -uo pipefail

run=${WARMLANE_REAL_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/warmlane-real}/run

# A pid file may outlive its process, and the number may be another's by then.
ours() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -q 'vllm serve'; }

for file in "$run"/*.pid; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    if ours "$pid"; then
        kill -TERM "$pid"
        for _ in $(seq 50); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    fi
    # What is left of the session: the server that did not end, and the engine's workers, which carry other names.
    if pgrep -g "$pid" -f -i vllm >/dev/null; then kill -KILL -- "-$pid" 2>/dev/null; fi
    rm -f "$file"
    echo "stopped $pid"
done
