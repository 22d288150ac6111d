# Every target makes .venv and installs what it needs first; PYTHON names the Python that makes it (3.11 or later).
PYTHON ?= python3
BIN := .venv/bin
OUT := demo
BIDS ?= chbmit-clips
STUDY ?= studies/chbmit-clips
OLD_PYTHON := %s is Python %s; 3.11 or later is needed: remove .venv if it is there, and add PYTHON=python3.11
CHECK_PYTHON := import sys; sys.version_info >= (3, 11) or sys.exit("$(OLD_PYTHON)" % (sys.argv[1], sys.version.split()[0]))

.PHONY: help demo test lint docs tables bench clean

help:  ## say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/installed: pyproject.toml constraints.txt $(wildcard extract/braincodec/csrc/*.c heads/ops/csrc/*.[ch])
	@for python in $(PYTHON) $(wildcard $(BIN)/python); do $$python -c '$(CHECK_PYTHON)' $$python || exit 1; done
	@echo "== installing into .venv: some minutes and about 1.5 GB the first time, for torch"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

demo: .venv/installed  ## the whole way on a synthetic data set: extract, train every fold, score
	@echo "== 1/4 a synthetic BIDS EEG data set in $(OUT)/bids"
	test -d $(OUT)/bids || $(BIN)/python -m extract.demo $(OUT)/bids
	@echo "== 2/4 encode it once into a feature store in $(OUT)/store"
	$(BIN)/python -m extract --bids $(OUT)/bids --store $(OUT)/store
	@echo "== 3/4 train a head for every person left out, in $(OUT)/run"
	$(BIN)/python -m heads.train --store $(OUT)/store --fold all --out $(OUT)/run
	@echo "== 4/4 score it"
	$(BIN)/python -m eval $(OUT)/run

test: .venv/installed  ## run the tests and the doctests, on all cores
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadgroup

lint: .venv/installed  ## check style, docstrings and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed  ## build the documentation into site/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m mkdocs build --strict

tables: .venv/installed  ## make the tables of README and docs by a study of BIDS=FOLDER, in STUDY=FOLDER
	$(BIN)/python -m eval.study --bids $(BIDS) --out $(STUDY) --encoders braincodec random bandpower \
		--features latents codes --heads spatial-fusion linear probe --seeds 0 1 2
	$(BIN)/python docs/make_tables.py $(STUDY) docs/tables/chbmit-clips README.md docs/results.md

bench: .venv/installed  ## measure speeds as ratios
	$(BIN)/python -m tests.benchmarks

clean:  ## remove .venv, the demo and the built documentation
	rm -rf .venv demo site
