# Two commands do everything on a machine with Python (3.10 or newer) and make:  make run,  make test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: install run test check bench baselines readme clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

run: install                 ## the main job on the bundled digits
	$(BIN)/clbench run --strategy ewc-fixed

test: install check          ## lint, types and the whole test suite
	$(BIN)/python -m pytest -n auto

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy clbench strategies scenarios tests

bench: install               ## speed against stock Avalanche and a bare loop (about 20 minutes)
	$(BIN)/python -m tests.bench.speed

baselines: install           ## rewrite results/baseline and its leaderboard (about 15 minutes)
	$(BIN)/python -m tests.bench.baselines

readme: install              ## rewrite the tables of the README that the catalogue makes
	$(BIN)/python -m tests.readme

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
