# One vocabulary for users, hooks and continuous integration.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := .venv/bin
ARGS ?=
export GX_ANALYTICS_ENABLED := false
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: setup features train test e2e check bench docs evidence clean

setup: .venv/installed  ## create .venv and install the pinned dependencies

.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 found; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench,production]'
	@touch $@

features: setup  ## fill the feature store; ARGS="data=table data.path=…" passes overrides
	$(BIN)/python flows/features.py $(ARGS)

train: setup  ## train on the default data; ARGS="model=lstm imbalance=focal" passes overrides
	$(BIN)/python flows/train.py $(ARGS)

SLOW := tests/flows tests/contracts/test_extensions.py \
	tests/unit/delivery/test_online.py tests/unit/delivery/test_streaming.py

test: setup  ## run every test but the slow ones of whole flows
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile $(SLOW:%=--ignore=%) $(ARGS)

e2e: setup  ## run whole flows, with real servers
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile $(SLOW) $(ARGS)

check: setup  ## lint, formatting, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q tests/contracts/test_imports.py

bench: setup  ## measure the feature engine; writes out/bench.json
	$(BIN)/python benchmarks/run.py $(ARGS)

docs: .venv/docs-installed  ## build the documentation into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

.venv/docs-installed: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

evidence: setup  ## write the output in README and docs anew; ARGS="--check", "--all" or names
	$(BIN)/python docs/evidence.py $(ARGS)

clean:  ## remove everything that the commands above made
	rm -rf .venv .cache outputs multirun out mlruns mlflow.db studies.db studies.log build src/*.egg-info catboost_info
	rm -rf feature_repo/data
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
