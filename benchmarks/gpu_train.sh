#!/usr/bin/env bash
# Trains for some minutes, from the run folder's checkpoint if there is one, and hands the newest checkpoint out:
#
#   bash benchmarks/gpu_train.sh CONFIG MINUTES [OPTIONS OF mssts train]
#
# Variables: RUN, the run folder (default: runs/ and the configuration's name); OUT, where checkpoint.pt, model.safetensors
# and train.log are copied (default: runs/gpu_train); DEVICE, cuda or cpu; PIECE, such as 15M, cuts the copies into files
# of at most that size, which `cat checkpoint.pt.* >checkpoint.pt` joins; PYTHON as in gpu.sh.
# Exit status: 0 if the training has ended or was stopped by the clock, and its checkpoint is in OUT.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

if [ "$#" -lt 2 ]; then
    echo "usage: $0 CONFIG MINUTES [OPTIONS OF mssts train]" >&2
    exit 2
fi
config="$1" minutes="$2"
shift 2
RUN="${RUN:-runs/$(basename "$config" .yaml)}"
OUT="${OUT:-runs/gpu_train}"
STOPPED=4 # as `mssts train` ends when it saves before its last step
mkdir -p "$OUT" || exit 1

. benchmarks/find_python.sh

# SIGINT makes the training save and stop after the step it is in; who does not stop within a minute is killed.
timeout --foreground --preserve-status -s INT -k 60 "${minutes}m" \
    "$PYTHON" -m mssts train --config "$config" --out "$RUN" --accelerator "${DEVICE:-cuda}" --resume auto "$@" 2>&1 |
    tee "$OUT/train.log"
status="${PIPESTATUS[0]}"

hand_out() {
    local path="$RUN/$1"
    if [ ! -s "$path" ]; then
        echo "$path: not there" >&2
        return 1
    fi
    rm -f "$OUT/$1" "$OUT/$1".[0-9]*
    if [ -n "${PIECE:-}" ]; then
        split -d -b "$PIECE" "$path" "$OUT/$1."
    else
        cp "$path" "$OUT/$1"
    fi
}

# After a crash too: what was saved last is worth having.
hand_out checkpoint.pt || status=1
hand_out model.safetensors || status=1
echo "training ended with status $status; in $OUT: $(ls "$OUT" | tr '\n' ' ')"
[ "$status" -eq 0 ] || [ "$status" -eq "$STOPPED" ]
