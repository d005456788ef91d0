# Everything is built from a bare machine with Python >= 3.11: each target makes .venv when it is missing.
#   make run        set up, run the quickstart recipe, print the report's path
#   make test       set up, run every test              make test-fast   the same without the slow ones, < 60 s
#   make check      format, lint, types, sizes          make bench       compare with the peers
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
BENCH ?=
PIP := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Exactly the pinned torch, before anything that depends on torch: a range could resolve to another build.
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

.PHONY: run test test-fast check format readme bench bench-env wheel-test llamacpp setup clean

run: $(VENV)/.test
	$(VENV)/bin/smallm run quickstart

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto --dist loadfile

test-fast: $(VENV)/.test
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "not slow and not browser" --numprocesses auto --dist loadfile

check: $(VENV)/.dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m pyright
	$(PY) tools/size.py

format: $(VENV)/.dev
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

readme: $(VENV)/.test
	$(PY) tools/readme.py
	$(PY) tools/roadmap.py

setup: $(VENV)/.dev

# An environment with the package and one of its extras: $(VENV)/.test, .dev, .llamacpp.
# A run of pip that changes nothing takes some seconds, so the stamp is renewed when the metadata changed.
$(VENV)/.%: pyproject.toml constraints.txt | $(VENV)/.torch
	$(PY) $(PIP) --editable '.[$*]'
	@touch $@

$(VENV)/.torch:
	@test -x $(PY) || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing $(TORCH) and the packages of constraints.txt (some minutes the first time)"
	$(PY) $(PIP) '$(TORCH)'
	@touch $@

# Compiles llama.cpp (some minutes); the tests that compare with it skip until then.
llamacpp: $(VENV)/.test
	CMAKE_ARGS="-DLLAVA_BUILD=OFF $$CMAKE_ARGS" $(PY) $(PIP) --editable '.[llamacpp]'

# The wheel, installed with its dependencies into an empty environment, used from an empty directory.
wheel-test: $(VENV)/.test
	$(PY) tools/wheel_test.py

# benchmarks/gpu_*.py want a card and their own arguments: they are started by hand.
bench: bench-env
	@for script in $(if $(BENCH),benchmarks/$(BENCH).py,$(filter-out benchmarks/gpu_%,$(wildcard benchmarks/[a-z]*.py))); do \
		echo "== $$script"; .venv-bench/bin/python $$script || exit 1; done

bench-env: .venv-bench/.peers

.venv-bench/.peers: pyproject.toml constraints.txt benchmarks/peers.txt
	$(MAKE) VENV=.venv-bench .venv-bench/.test
	.venv-bench/bin/python $(PIP) --requirement benchmarks/peers.txt
	@touch $@

clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis src/smallm.egg-info
