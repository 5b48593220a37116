# Needs python3 (3.11 to 3.13), make and pip's network; everything else goes into $(VENV).

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := $(VENV)/bin
PYTEST ?=

.PHONY: help demo test lint audit docs bench chaos clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.demo  ## a whole round on real data, in a temporary folder; under a minute
	$(BIN)/nudge-sync demo

test: $(VENV)/.test  ## all tests; PYTEST='-k name' passes options on
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile $(PYTEST)

lint: $(VENV)/.lint  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(VENV)/.audit  ## known vulnerabilities in what is installed; asks PyPI's service
	$(BIN)/python tools/audit.py

bench: $(VENV)/.test  ## what a safe write costs, beside the bare clients
	$(BIN)/python benchmarks/write_rate.py --engine edge
	$(BIN)/python benchmarks/write_rate.py --engine milvus

chaos: $(VENV)/.test  ## kill processes and databases while they write, and count what is lost
	$(BIN)/python -m tests.chaos

docs: $(VENV)/.docs  ## these pages as a site, in build/docs; a link that leads nowhere fails it
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky -c docs . build/docs

clean:  ## remove the environment and what building leaves
	rm -rf $(VENV) build dist

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; PYTHON=... names one" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: EXTRA = qdrant-edge
$(VENV)/.test: EXTRA = test
$(VENV)/.lint: EXTRA = test,lint
$(VENV)/.audit: EXTRA = test,lint,audit
$(VENV)/.docs: EXTRA = docs
$(VENV)/.demo $(VENV)/.test $(VENV)/.lint $(VENV)/.audit $(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRA)]'
	@touch $@
