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

# Long forms of gates whose short forms 'make test' runs.
torture: $(VENV)/.dev
	ALLUSE_SESSIONS=$(or $(SESSIONS),100000) ALLUSE_REPEATS=$(or $(REPEATS),5000) \
	  $(BIN)/pytest --timeout 0 plugins/sim/tests/test_torture.py $(ARGS)
	ALLUSE_SOAK_DAYS=$(or $(SOAK_DAYS),365) $(BIN)/pytest --timeout 0 plugins/sim/tests/test_soak.py
	ALLUSE_SCENARIOS=all $(BIN)/pytest --timeout 0 plugins/sim/tests/test_scenarios.py $(ARGS)
	ALLUSE_TCP_SESSIONS=$(or $(TCP_SESSIONS),300) ALLUSE_KILLS=$(or $(KILLS),60) \
	  $(BIN)/pytest --timeout 0 tests/e2e/test_orders_against_the_gateway.py \
	  tests/e2e/test_killed_traders.py $(ARGS)
	ALLUSE_CUT_EVERY=$(or $(CUT_EVERY),1) \
	  $(BIN)/pytest --timeout 0 -rP plugins/sim/tests/test_cuts.py $(ARGS)
	ALLUSE_SEAM_ROUNDS=$(or $(SEAM_ROUNDS),20) \
	  $(BIN)/pytest --timeout 0 -rP tests/e2e/test_killed_at_seams.py $(ARGS)
	ALLUSE_DAMAGE_EVERY=$(or $(DAMAGE_EVERY),1) \
	  $(BIN)/pytest --timeout 0 -rP tests/orders/test_damage.py $(ARGS)
	ALLUSE_POWER_CUTS=$(or $(POWER_CUTS),10000) $(BIN)/pytest --timeout 0 -rP \
	  tests/orders/test_power_loss.py tests/orders/test_failing_disk.py $(ARGS)
	ALLUSE_SOAK_ORDERS=$(or $(SOAK_ORDERS),50000) ALLUSE_REPLAYS=$(or $(REPLAYS),2000) \
	  $(BIN)/pytest --timeout 0 tests/orders/test_memory.py tests/orders/test_replay.py $(ARGS)
	ALLUSE_MODEL_EXAMPLES=$(or $(MODEL_EXAMPLES),10000) ALLUSE_MODEL_STEPS=$(or $(MODEL_STEPS),100) \
	  $(BIN)/pytest --timeout 0 tests/orders/test_model.py $(ARGS)
	$(BIN)/python tests/mutation/sample.py --mutants $(or $(MUTANTS),all) --seed $(or $(MUTANT_SEED),1)
	-$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-torture.txt
	$(BIN)/python plugins/gateway/tests/fuzz_frames.py --runs $(or $(FRAMES),1000000)
	ALLUSE_FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/pytest --timeout 0 \
	  plugins/gateway/tests/test_protobuf_noise.py

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
