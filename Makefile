# Two commands do everything on a machine with Python (3.10 or newer) and make:  make run,  make test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help install run test quick check gate bench faults reproduction study drift memory halves baselines leaderboard pages docs dist clean

help:                        ## this list; 'make' alone prints it, too
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.installed  ## .venv with clbench, every extra and the tools of development

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

run: install                 ## the main job on the bundled digits
	$(BIN)/clbench run --strategy ewc-fixed

test: install                ## lint, types, the whole test suite, and clbench's own regression gate
	$(MAKE) -j 2 check gate
	$(BIN)/python -m pytest -n auto

quick: check                 ## lint, types and the tests that take no time, for the inner loop (about a minute)
	$(BIN)/python -m pytest -q -n auto --quick

check: install               ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy clbench strategies scenarios tests docs

GATED := naive ewc ewc-fixed er

gate: install                ## a handful of strategies against the committed baseline
	rm -rf build/gate
	for name in $(GATED); do \
		$(BIN)/clbench run --strategy $$name --seeds 5 --results build/gate --offline --quiet || exit 1; \
	done
	$(BIN)/clbench check --baseline results/baseline build/gate --scenario split-digits $(GATED:%=--strategy %) $(GATE_OPTIONS)

bench: install               ## speed against stock Avalanche and bare loops (about an hour)
	$(BIN)/python -m tests.bench.stages
	$(BIN)/python -m tests.bench.long
	$(BIN)/python -m tests.bench.regularisers
	$(BIN)/python -m tests.bench.fisher
	$(BIN)/python -m tests.bench.sweep
	$(BIN)/python -m tests.bench.vectors
	$(BIN)/python -m tests.bench.formats
	$(BIN)/python -m tests.bench.speed

faults: install              ## everything that runs and sweeps must survive, in full (about 20 minutes)
	$(BIN)/python -m tests.faults --full

reproduction: install        ## published numbers and effects: what is missing of results/reproduction
	$(BIN)/clbench reproduce '*' || true
	for entry in results/reproduction/*/; do $(BIN)/clbench results pack $$entry; done
	$(BIN)/python -m tests.bench.reproduction

study: install               ## do regularised networks forget less? what is missing of results/studies (about two hours)
	$(BIN)/python -m tests.bench.generic_features

drift: install               ## which remedy helps on real drift? what is missing of results/studies/drift (about half an hour)
	$(BIN)/python -m tests.bench.drift

memory: install              ## do remedies help methods with a memory? what is missing of results/studies/with-memory (about an hour)
	$(BIN)/python -m tests.bench.with_memory

halves: install              ## does training in bf16 cost accuracy? what is missing of results/studies/half-precision (about an hour)
	$(BIN)/python -m tests.bench.halves

baselines: install           ## rewrite results/baseline and its leaderboard (about 15 minutes)
	$(BIN)/python -m tests.bench.baselines

leaderboard: install         ## rewrite the committed leaderboard from the committed Results
	$(BIN)/python -m tests.bench.baselines --leaderboard-only

pages: install               ## rewrite what is made in docs/pages: tables of the catalogue, published numbers, the README's picture
	$(BIN)/python -m tests.pages

docs: install                ## build the documentation, strictly and without network: build/site/index.html
	$(BIN)/python -m docs.build

dist:                        ## wheel and sdist in dist/, checked; the wheel runs in an environment of its own (downloads torch)
	rm -rf dist build/packaging build/installed
	$(PYTHON) -m venv build/packaging
	build/packaging/bin/python -m pip install --quiet build twine
	build/packaging/bin/python -m build
	build/packaging/bin/twine check --strict dist/*
	$(PYTHON) -m venv build/installed
	build/installed/bin/python -m pip install --quiet dist/*.whl
	cd build/installed && bin/clbench run --strategy ewc-fixed --offline && bin/clbench run --strategy ewc-fixed --tuned --offline

clean:                       ## remove .venv and whatever tools have left
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
