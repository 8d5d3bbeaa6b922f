# Everything the project is worked on with; each target does its own set-up. `make help` lists them.

PORT ?= 8080
PYTHON ?= python3
VENV := var/venv
BIN := $(VENV)/bin
export TICKETS_VAR_DIR ?= $(CURDIR)/var

.DEFAULT_GOAL := help
.PHONY: help run migrate test check contract generate format bench bench-scale lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/run ## Serve on 127.0.0.1:8080 (PORT=…), with demo data when the database is empty
	@$(BIN)/tickets migrate
	@$(BIN)/tickets demo --port $(PORT)
	@exec $(BIN)/tickets serve --port $(PORT)

migrate: $(VENV)/run ## Bring the database to the newest revision
	@$(BIN)/tickets migrate

test: $(VENV)/dev var/browser ## Run all tests, with coverage by branches
	@rm -f var/.coverage*
	@$(if $(ARGS),$(PYTEST) $(ARGS),$(PYTEST) -n 2 $(MEASURING:%=--ignore %) && $(PYTEST) $(MEASURING))
	@COVERAGE_FILE=var/.coverage $(BIN)/coverage combine -q
	@COVERAGE_FILE=var/.coverage $(BIN)/coverage report

check: $(VENV)/dev var/contract-lint ## Lint code and contract, check types, floors and generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/openapi-spec-validator --subschema-errors all openapi.yaml
	@cd tools/contract-lint && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent lint
	@$(BIN)/datamodel-codegen --check

contract: $(VENV)/dev ## Fuzz a running service against openapi.yaml with schemathesis
	@PYTHONPATH=tests $(BIN)/python tests/contract/fuzz.py $(ARGS)

generate: $(VENV)/dev ## Make src/tickets/wire.py from openapi.yaml
	@$(BIN)/datamodel-codegen

format: $(VENV)/dev ## Format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(VENV)/bench ## Compare with other frameworks; results go to bench/results
	@$(BIN)/python -m bench.run $(ARGS)

bench-scale: $(VENV)/bench ## Measure with 1,000,000 tickets; results go to bench/results
	@$(BIN)/python -m bench.scale $(ARGS)

lock: $(VENV)/dev ## Pin the dependencies anew, without addresses
	@$(BIN)/uv pip compile $(LOCK) --group build pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile $(LOCK) -c requirements.txt --group build --group dev pyproject.toml -o requirements-dev.txt
	@$(BIN)/uv pip compile $(LOCK) -c requirements-dev.txt --group build --group dev --group bench pyproject.toml -o requirements-bench.txt

clean: ## Remove what a run makes, the database too
	@rm -rf var

# Tests that stop processes, fill disks and watch the clock have the machine to themselves.
MEASURING := tests/jobs tests/reliability
PYTEST := COVERAGE_FILE=var/.coverage $(BIN)/coverage run -m pytest

LOCK := -q --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header --generate-hashes --upgrade

# One environment: `run` needs the service alone, `dev` adds the tools. PIP is told to be quiet about itself.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	@echo "Making the virtual environment …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing pinned dependencies …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/run
	@echo "Installing pinned tools …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/bench: requirements-bench.txt $(VENV)/dev
	@echo "Installing what the service is compared with …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

var/browser: tests/browser/package-lock.json $(VENV)/dev
	@echo "Installing a browser for the tests …"
	@cd tests/browser && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

var/contract-lint: tools/contract-lint/package-lock.json $(VENV)/dev
	@echo "Installing the contract's linters …"
	@cd tools/contract-lint && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@
