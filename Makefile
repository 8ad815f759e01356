SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?=
ARGS ?=
export PYTHON

.PHONY: help setup setup-labelstudio setup-demo-data check test test-statistics demo bench-round bench-labels bench-selection bench-scale bench-near-duplicates

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  PYTHON=/path/to/python3 picks the Python; ARGS="..." is handed on, as in'
	@echo '  make demo ARGS="--annotate 200"'

setup:  ## Make .venv with AskNext, its tools and its encoder weights
	@scripts/set-up asknext models

setup-labelstudio:  ## Make .venv-labelstudio with the Label Studio of the demo and the tests
	@scripts/set-up labelstudio

setup-demo-data: setup  ## Install the data sets of the demo into .venv
	@scripts/set-up demo-data

check: setup  ## Lint, format check and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test: setup setup-labelstudio setup-demo-data check  ## Set up, check and run every test but the slow ones
	.venv/bin/python -m pytest -m "not slow" -n 2 --dist loadgroup $(ARGS)

test-statistics: setup  ## Simulate every interval with many runs, and print what was measured
	.venv/bin/python -m pytest -m statistics -rP tests/statistics $(ARGS)

demo: setup setup-labelstudio setup-demo-data  ## Start Label Studio and AskNext with real data to label
	@.venv/bin/python -m demo $(ARGS)

bench-round: setup setup-labelstudio  ## Time a round on 100,000 tasks in a real Label Studio
	@.venv/bin/python -m benchmarks.round $(ARGS)

bench-labels: setup setup-demo-data  ## Measure label efficiency on real data, next to other libraries
	@scripts/set-up bench-data peers
	@.venv/bin/python -m benchmarks.labels $(ARGS)

bench-selection: setup  ## Time selection from 100,000 items, next to the fastest libraries
	@scripts/set-up peers
	@.venv/bin/python -m benchmarks.selection $(ARGS)

bench-scale: setup  ## Run every strategy on a million items: seconds and memory, pass or fail
	@.venv/bin/python -m benchmarks.selection --scale $(ARGS)

bench-near-duplicates: setup  ## Time the exact search for near-duplicates among 100,000 items
	@.venv/bin/python -m benchmarks.near_duplicates $(ARGS)
