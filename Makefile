# `make demo` and `make test` are all a newcomer needs; each sets up .venv by itself and does it once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests share the machine's cores among worker processes, one thread each.
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: demo test test-slow lint bench clean

demo: $(VENV)/.core
	$(BIN)/mssts demo --out runs/demo

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not gpu"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m "slow and not gpu"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(VENV)/.core
	$(BIN)/mssts benchmark --preset baseline-r50 --size 360x640 --frames 5

# A stamp newer than the files that decide what is installed means that there is nothing to do.
$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch and a few libraries into $(VENV): about 6 GB, some minutes the first time."
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev,train,viz]"
	touch $@

clean:
	rm -rf $(VENV) runs build dist
