# Needs python3 (3.11 to 3.13), make and pip's network; everything else goes into $(VENV).

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
PYTHONS ?= $(shell for p in python3.11 python3.12 python3.13; do \
	$$p -c '' 2>/dev/null && echo $$p; done)
BIN := $(VENV)/bin
PYTEST ?=
PYTEST_RUN = -m pytest --numprocesses 3 --dist loadfile $(PYTEST)

# Which releases pip may choose. Empty: the newest of each.
CONSTRAINTS ?= requirements/constraints.txt
# From pip 25.3 on the second names what may build the project; before that the first does both.
PIP = PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS) $(BIN)/python -m pip

.PHONY: help demo test test-latest coverage lint audit screenshots docs lock hooks bench chaos chaos-cluster deploy-tools clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.demo  ## a whole round on real data, in a temporary folder; under a minute
	$(BIN)/nudge-sync demo

test: $(VENV)/.test  ## all tests; PYTEST='-k name' passes options on
	$(BIN)/python $(PYTEST_RUN)

test-latest:  ## all tests with the newest release of every package, in .venv-latest
	rm -rf .venv-latest
	$(MAKE) test VENV=.venv-latest CONSTRAINTS=

coverage: $(VENV)/.test  ## all tests, and which share of each package's lines and branches they ran
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST_RUN)
	$(BIN)/coverage combine --quiet
	$(BIN)/python tools/coverage_by_package.py

lint: $(VENV)/.lint  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(VENV)/.audit  ## known vulnerabilities in what is installed; asks PyPI's service
	$(BIN)/python tools/audit.py

lock:  ## choose the newest releases for requirements/constraints.txt; PYTHONS names interpreters
	$(PYTHON) tools/lock.py $(PYTHONS)

hooks: $(VENV)/.hooks  ## lint before each commit; needs the environment in .venv
	$(BIN)/pre-commit install

bench: $(VENV)/.test  ## what a safe write costs, beside the bare clients
	$(BIN)/python benchmarks/write_rate.py --engine edge
	$(BIN)/python benchmarks/write_rate.py --engine milvus

chaos: $(VENV)/.test  ## kill processes and databases while they write, and count what is lost
	$(BIN)/python -m tests.chaos

chaos-cluster: $(VENV)/.test  ## let nodes of a Qdrant cluster die; QDRANT_BINARY=/path names the server
	QDRANT_BINARY=$(QDRANT_BINARY) $(BIN)/python -m tests.chaos.cluster

screenshots: $(VENV)/.test  ## pictures of the console for the docs, in docs/img; needs Chromium
	$(BIN)/python tools/screenshots.py

deploy-tools:  ## what tests/deploy checks deploy/ with, in build/tools; needs Debian and Go
	tools/ci_tools.sh

docs: $(VENV)/.docs  ## these pages as a site, in build/docs; a link that leads nowhere fails it
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky -c docs . build/docs

clean:  ## remove the environments and what building leaves
	rm -rf $(VENV) .venv-latest build dist .coverage .coverage.*

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; PYTHON=... names one" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: EXTRA = qdrant-edge
$(VENV)/.test: EXTRA = test
$(VENV)/.lint: EXTRA = test,lint
$(VENV)/.audit: EXTRA = test,lint,audit
$(VENV)/.hooks: EXTRA = test,lint,hooks
$(VENV)/.docs: EXTRA = docs
$(foreach kind,demo test lint audit hooks docs,$(VENV)/.$(kind)): pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP) install --quiet --editable '.[$(EXTRA)]'
	@touch $@
