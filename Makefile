# The steps of a change, the same by hand and in .ci/run.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.retr-installed

.PHONY: help install check test slow docs bench wheel gpu clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv and install retr with its development packages

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev,train,export]'
	touch $@

check: $(STAMP) ## format, lint, types, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMP) ## the tests, but for the slow ones; no GPU and no downloaded corpus needed
	$(BIN)/python -m pytest

slow: $(STAMP) ## the slow tests: exports by torch, several processes, the guides that train
	$(BIN)/python -m pytest -m slow

docs: $(STAMP) ## run every example of README.md and docs/
	$(BIN)/python -m pytest -m '' tests/docs

wheel: $(STAMP) ## build the wheel and the sdist into dist/, and check what is in them
	rm -rf build dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python -m pytest -m '' -n 0 tests/packaging

bench: $(STAMP) ## how to run the measurements
	@cat bench/README.md

gpu: $(STAMP) ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu -n 0

clean: ## remove what was built; the virtual environment stays
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
