# `make` lists what there is. Everything needs only python3 (3.11 or newer) with pip, and make.

PYTHON     ?= python3
UV_VERSION := 0.13.8
UV         := .tools/uv/bin/uv
UV_STAMP   := .tools/uv/uv-$(UV_VERSION).dist-info/METADATA
BIN        := .venv/bin
READY      := .venv/.ready
# What mypy reads; a folder that is not there yet is not an error.
TYPED      := $(wildcard server compat_http tests proto/*.py generated/giftcard_client)

# The interpreter is the machine's own.
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve edge test check fix generate lock bench prove clean \
  sdk-typescript sdk-go sdk-java sdk-python

# Colours only for a terminal.
ifneq ($(MAKE_TERMOUT),)
BOLD  := $(shell printf '\033[1m')
CYAN  := $(shell printf '\033[36m')
PLAIN := $(shell printf '\033[0m')
endif

say = @printf '%s\n' '$(CYAN)$(BOLD)»$(PLAIN) $(1)'

help: ## List the commands
	@printf '\n  %s\n\n' '$(BOLD)Gift card platform$(PLAIN)'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  $(CYAN)make %-14s$(PLAIN) %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n  ARGS goes to test, bench and prove:  make test ARGS="-k redeem -x"\n\n'

serve: $(READY) ## Run the service on SQLite with demo data, until Ctrl-C
	@GIFTCARD_DEMO=1 exec $(BIN)/giftcard serve

edge: $(READY) ## Run the service behind Envoy with TLS, REST and gRPC-Web, until Ctrl-C
	@GIFTCARD_DEMO=1 exec $(BIN)/python -m compat_http.envoy

test: $(READY) ## Run every test but the slow ones, on SQLite and PostgreSQL
	@$(BIN)/python -m pytest --durations=10 --durations-min=0.5 $(ARGS)

check: $(READY) ## Check format, lint, types, imports, contract and generated code
	$(call say,ruff)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	$(call say,mypy)
	@$(BIN)/mypy $(TYPED)
	$(call say,import-linter)
	@$(BIN)/lint-imports
	$(call say,buf: lint of the contract)
	@$(BIN)/python -m proto.generate --lint
	$(call say,generated code equals what the contract yields)
	@$(BIN)/python -m proto.generate --check

fix: $(READY) ## Format the code and mend what ruff can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

generate: $(READY) ## Write generated/ from proto/
	@$(BIN)/python -m proto.generate

sdk-typescript: tests/sdk/typescript/gen/.made ## Generate the TypeScript client (needs Node, npm)
	@echo 'tests/sdk/typescript/gen is up to date.'

sdk-go: tests/sdk/go/gen/.made ## Generate the Go client (needs Go)
	@echo 'tests/sdk/go/gen is up to date.'

sdk-java: tests/sdk/java/gen/.made ## Generate the Java client (needs JDK, Maven)
	@echo 'tests/sdk/java/gen is up to date.'

sdk-python: $(READY) ## Build the Python client as a wheel, into dist/
	@cd generated && $(CURDIR)/$(BIN)/python -m hatchling build -t wheel -d ../dist

bench: $(READY) ## Measure speed against its yardsticks; table and var/bench.json
	@$(BIN)/python -m tests.bench $(ARGS)

prove: $(READY) ## Run the long suites; table, var/prove.json and PROOF.md (ARGS="--size release")
	$(call say,The long suites: servers are killed and connections broken. This takes minutes.)
	@$(BIN)/python -m tests.prove $(ARGS)

clean: ## Remove what make made; var/, where data lies, stays
	rm -rf .venv .tools build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis \
	  .import_linter_cache
	rm -rf $(foreach made,build gen generators node_modules target,tests/sdk/*/$(made))
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- clients in other languages: tests/sdk/*/buf.gen.yaml on generated/giftcard.binpb ------------

tests/sdk/%/gen/.made: generated/giftcard.binpb tests/sdk/%/buf.gen.yaml | $(READY)
	@cd tests/sdk/$* && $(CURDIR)/$(BIN)/buf generate && touch gen/.made

# The generators, in exact versions: of npm, of Go, of Maven.
tests/sdk/typescript/gen/.made: tests/sdk/typescript/node_modules/.made
tests/sdk/go/gen/.made: tests/sdk/go/go.mod
tests/sdk/java/gen/.made: tests/sdk/java/generators/.made

tests/sdk/typescript/node_modules/.made: tests/sdk/typescript/package-lock.json
	@cd tests/sdk/typescript && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.made

tests/sdk/java/generators/.made: tests/sdk/java/pom.xml
	@cd tests/sdk/java && mvn -q initialize && chmod +x generators/* && touch generators/.made

# --- set-up --------------------------------------------------------------------------------------

# uv does not read pip's configuration. Where that names a mirror or a certificate, uv is told, and
# nothing is printed: the address of a mirror may hold a password.
define PIP_SETTINGS
pip_setting() { \
  $(PYTHON) -m pip config list 2>/dev/null \
    | sed -n "s/^[^=]*\.$$1='\(.*\)'$$/\1/p" | sed 's/\\n/ /g' | head -n 1; \
}; \
tell_uv() { \
  eval "known=\$${$$1:-}"; \
  if [ -z "$$known" ]; then \
    value=$$(pip_setting "$$2"); \
    if [ -n "$$value" ]; then export "$$1=$$value"; fi; \
  fi; \
}; \
tell_uv UV_DEFAULT_INDEX index-url; \
tell_uv UV_INDEX extra-index-url; \
tell_uv SSL_CERT_FILE cert
endef

$(UV_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo 'This needs Python 3.11 or newer: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { \
	  echo 'This needs pip (on Debian and Ubuntu: apt-get install python3-pip)' >&2; exit 1; }
	$(call say,Fetching uv $(UV_VERSION))
	@rm -rf .tools/uv
	@PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_ROOT_USER_ACTION=ignore $(PYTHON) -m pip install \
	  --quiet --disable-pip-version-check --no-deps --target .tools/uv uv==$(UV_VERSION)

# The project itself comes last and without its build being isolated, so that needs no network.
$(READY): requirements.lock pyproject.toml | $(UV_STAMP)
	$(call say,Setting up .venv from requirements.lock)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) --prompt giftcard .venv
	@$(PIP_SETTINGS); \
	  $(UV) pip sync --python $(BIN)/python --require-hashes requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation \
	  --editable .
	@touch $@

# No address stands in the lock, so that it holds wherever packages come from.
lock: | $(UV_STAMP) ## Write requirements.lock anew from pyproject.toml
	@$(PIP_SETTINGS); \
	  $(UV) pip compile pyproject.toml --extra telemetry --group dev --group edge --group fuzz --group postgres \
	    --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command 'make lock' --quiet --output-file requirements.lock
	@if grep -n '://' requirements.lock; then \
	  echo 'requirements.lock holds an address' >&2; exit 1; fi
