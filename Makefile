# make demo: set everything up and run one homework from source to graded class. make test: set up and test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test lint build audit solutions bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: setup
	$(BIN)/autograder demo

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .

build: setup
	$(BIN)/autograder build

audit: setup
	$(BIN)/autograder audit hw1

solutions: setup
	$(BIN)/autograder solutions

bench: setup
	$(BIN)/python -m benchmarks.grading

clean:
	rm -rf $(VENV) build dist course solutions *.egg-info
