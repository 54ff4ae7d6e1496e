#!/usr/bin/env bash
# Everything to know of a machine with a GPU, in one call below ten minutes:
#
#   bash benchmarks/gpu.sh                                 numbers and log into runs/gpu
#   OUT=runs/try DEVICE=cpu bash benchmarks/gpu.sh         the same steps at tiny sizes, to try the script itself
#
# Variables: OUT, the folder for the results; DEVICE, cuda or cpu; TESTS, where to look for GPU tests; PYTHON, one with the
# project's libraries (default: .venv's, or else python3 if it has PyTorch, or else .venv is made). PYTHONPATH is kept.
# A step that fails or lasts too long is told and counted, and the next one runs; the exit status is 1 if there was any.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

DEVICE="${DEVICE:-cuda}"
OUT="${OUT:-runs/gpu}"
TESTS="${TESTS:-tests}"
LAST_SECOND=570
mkdir -p "$OUT" || exit 1

. benchmarks/find_python.sh
benchmark=("$PYTHON" -m mssts benchmark --device "$DEVICE")
failures=()

# step NAME SECONDS COMMAND...: at the end of its time SIGINT, upon which a benchmark writes what it has measured.
step() {
    local name="$1" seconds="$2" start="$SECONDS" status
    shift 2
    printf '\n== %s\n' "$name"
    timeout --foreground -s INT -k 10 "$seconds" "$@"
    status=$?
    printf '== %s: exit status %d after %d s\n' "$name" "$status" "$((SECONDS - start))"
    [ "$status" -eq 0 ] || failures+=("$name ($status)")
}

VERSIONS='
import torch

print("torch", torch.__version__, "with CUDA", torch.version.cuda, "and TF32 for: matrix products",
      torch.backends.cuda.matmul.allow_tf32, "convolutions", torch.backends.cudnn.allow_tf32)
'

everything() {
    local presets compiled precisions clip repeat forms preset
    if [ "$DEVICE" = cuda ]; then
        presets=(baseline-r50 r50) compiled=(baseline-r50 r50) precisions=(fp32 bf16)
        clip=(--size 360x640 --frames 5) repeat=10 forms=(--frames 5 --repeat 20)
        step "the GPU" 20 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
    else
        presets=(baseline-tiny tiny) compiled=(baseline-tiny) precisions=(fp32)
        clip=(--size 64x96 --frames 2) repeat=1 forms=(--frames 1 --repeat 1)
    fi
    step "versions" 60 "$PYTHON" -c "$VERSIONS"
    # Without a GPU there is nothing that this could run, which pytest takes for a failure.
    [ "$DEVICE" != cuda ] ||
        step "GPU tests" 120 "$PYTHON" -m pytest -q -m gpu --continue-on-collection-errors "$TESTS"
    step "deformable attention" 50 "$PYTHON" benchmarks/deformable.py --device "$DEVICE" "${forms[@]}" \
        --json "$OUT/deformable.json"
    step "clips" 120 "${benchmark[@]}" --preset "${presets[@]}" "${clip[@]}" --precision fp32 bf16 --repeat "$repeat" \
        --json "$OUT/clips.json"
    for preset in "${presets[@]}"; do
        step "training step of $preset" 45 "${benchmark[@]}" --train --preset "$preset" "${clip[@]}" \
            --repeat "$repeat" --json "$OUT/train-$preset.json"
    done
    # All the time that is left: compiling takes a minute or so for each of the settings.
    step "compiled clips" "$((LAST_SECOND - SECONDS))" "${benchmark[@]}" --compile --preset "${compiled[@]}" \
        "${clip[@]}" --precision "${precisions[@]}" --repeat "$repeat" --json "$OUT/clips-compiled.json"

    printf '\nfailed steps: %d\n' "${#failures[@]}"
    [ "${#failures[@]}" -eq 0 ] || printf '  %s\n' "${failures[@]}"
    [ "${#failures[@]}" -eq 0 ]
}

SECONDS=0
everything 2>&1 | tee "$OUT/log.txt"
exit "${PIPESTATUS[0]}"
