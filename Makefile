# Every target does its own set-up. PYTHON may name another interpreter, 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out/demo
MANIFESTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)

.PHONY: demo test lint bench torture docs wheels clean

demo: $(VENV)/.demo
	$(BIN)/alluse demo --out $(OUT) $(ARGS)

# A file's tests stay in one process: some share a gateway, or a session that took a minute.
test: $(VENV)/.dev
	$(BIN)/pytest -n $(or $(JOBS),2) --dist loadfile $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

# The long forms of what 'make test' shows: MINUTES for all of them, the full counts without it.
torture: $(VENV)/.dev
	-$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-torture.txt
	$(BIN)/python -m gates $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

wheels: $(VENV)/.dev
	$(BIN)/python tests/wheels/build.py build/wheels

# Two sets of packages, so that the demo's first minute waits for nothing it does not use.
$(VENV)/.demo: requirements-demo.txt $(MANIFESTS) | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-demo.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(MANIFESTS) | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.demo

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ALL-USE needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist out
