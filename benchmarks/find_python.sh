# shellcheck shell=bash
# For the scripts beside it, run from the project's folder: sets PYTHON, and PYTHONPATH to this checkout's code first.
if [ -z "${PYTHON:-}" ]; then
    if [ -x .venv/bin/python ]; then
        PYTHON=.venv/bin/python
    elif python3 -c 'import torch' 2>/dev/null; then
        # A machine that is set up already, and perhaps without a way to download anything.
        PYTHON=python3
    elif timeout 1200 make .venv/.dev; then
        PYTHON=.venv/bin/python
    else
        echo "no Python with PyTorch: give one as PYTHON" >&2
        exit 1
    fi
fi
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
