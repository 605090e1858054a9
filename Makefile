# Two commands do all the set-up on a fresh machine: make demo, make test. As root on Debian, make
# test installs system packages for the tests over PC/SC and in a browser, and says so first.
# `make help` lists the rest. VENV=path uses another virtual environment, PYTHON=... another Python.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
FUZZ_SECONDS ?= 60
SEARCH_SECONDS ?= 3600
BIN := $(VENV)/bin
SOURCES := applets benchmarks docs meterlet dlms_codec hub listeners meter_codecs protocols sml_codec tariffs tests utility_server
PYTEST := $(BIN)/python -m pytest -q
# A worker holds most of a gigabyte at the end: memory is bounded on a computer of many cores, too.
SPREAD := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Hundreds of processes start in the tests: each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types contracts docs tests clients test-memory compiled compiled-tests \
    soak search bench fuzz peers format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## set everything up and run the main job end to end (DEMO="--json" adds options)
	@$(BIN)/meterlet demo $(DEMO)

test: $(VENV)/.test check compiled-tests ## set everything up, then lint, types, contracts, docs and all tests

check: $(VENV)/.test lint types contracts docs tests ## the same on an environment that stands

lint: $(VENV)/.test ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(VENV)/.test ## mypy, strict
	$(BIN)/mypy

contracts: $(VENV)/.test ## who may import whom
	$(BIN)/lint-imports

docs: $(VENV)/.test ## the documentation as a site, in build/site; broken links and references fail
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

tests: $(VENV)/.test ## pytest, with four workers at most (TESTS="tests/hub -k vault" picks some)
	$(PYTEST) $(SPREAD) $(TESTS)

compiled: build/compiled/.built ## sml_codec as extension modules, in build/compiled

compiled-tests: build/compiled/.built ## the tests of sml_codec on the compiled build
	@test -d build/compiled/sml_codec || exit 0; echo "sml_codec, compiled:"; \
	    METERLET_COMPILED=1 $(BIN)/python -P -m pytest -q -o pythonpath='build/compiled .' \
	    tests/sml_codec

clients: $(VENV)/.test ## fetch clients that others wrote and run them on the card, over PC/SC
	@tests/card-clients $(BIN)/python
	$(PYTEST) -rs tests/hub/card/test_pcsc.py tests/hub/card/test_pcsc_clients.py \
	    tests/hub/card/test_yubikit.py tests/hub/card/test_client_sequences.py

test-memory: $(VENV)/.test ## pytest, and what all processes need at the peak (Linux)
	$(BIN)/python -m tests.support.memory $(PYTEST) $(SPREAD) $(TESTS)

soak: $(VENV)/.test ## the tests that take long, whole years, all tariffs, many kills
	METERLET_SOAK=1 $(PYTEST) -n auto -m 'soak or more_in_soak or one_database or hypothesis'
	METERLET_SOAK=1 $(PYTEST) -n auto tests/fuzz tests/docs
	@$(MAKE) --no-print-directory search

search: $(VENV)/.test ## search for what breaks the promise to the resident (SEARCH_SECONDS=3600)
	$(BIN)/python -m tests.attacks.search --seconds $$(( $(SEARCH_SECONDS) * 2 / 3 ))
	$(BIN)/python -m tests.attacks.search --seconds $$(( $(SEARCH_SECONDS) / 3 )) --world month

fuzz: $(VENV)/.fuzz ## fuzz decoder and card for a while (FUZZ_SECONDS=60)
	$(BIN)/python -m tests.fuzz.sml -max_total_time=$(FUZZ_SECONDS)
	$(BIN)/python -m tests.fuzz.mbus -max_total_time=$(FUZZ_SECONDS)
	$(BIN)/python -m tests.fuzz.p1 -max_total_time=$(FUZZ_SECONDS)
	$(BIN)/python -m tests.fuzz.dlms -max_total_time=$(FUZZ_SECONDS)
	METERLET_FUZZ=2000 $(BIN)/python -m pytest -q tests/fuzz

bench: $(VENV)/.bench build/compiled/.built ## benchmarks, as ratios against peers or the naive way
	$(BIN)/python -m pytest -q -s -p no:cacheprovider -o python_files='bench_*.py' \
	    -o python_functions='bench_* test_*' -o addopts='--import-mode=importlib' --benchmark-only --benchmark-columns=min,median,rounds benchmarks

peers: build/peers/.made ## gurux-dlms and dlms-cosem in an environment of their own, for tests on the wire

format: $(VENV)/.test ## let ruff write the format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean: ## remove the virtual environment and the caches
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "make: Python 3.11 or newer is needed; PYTHON=... names one"; exit 2; }
	@echo "making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	@echo "installing meterlet and what it needs (once)"
	@$(PIP) install --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo tests/system-packages tests/card-clients
	@echo "installing what the tests need (once)"
	@tests/system-packages
	@$(PIP) install --editable '.[all,browser,docs,test]'
	@test ! -e /usr/include/PCSC/winscard.h || $(PIP) install --editable '.[pcsc]'
	@tests/card-clients $(BIN)/python
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	@echo "installing what the benchmarks compare with (once)"
	@$(PIP) install --editable '.[all,browser,docs,test,bench]'
	@touch $@

$(VENV)/.fuzz: $(VENV)/.test
	@echo "installing the fuzzer (once)"
	@$(PIP) install --editable '.[all,test,fuzz]'
	@touch $@

# gurux-dlms has the GPL: nothing of ours imports it, and it runs in processes of its own.
build/peers/.made:
	@echo "installing gurux-dlms and dlms-cosem in build/peers (once)"
	@$(PYTHON) -m venv build/peers
	@build/peers/bin/python -m pip --disable-pip-version-check --quiet install \
	    gurux-dlms==1.0.203 dlms-cosem==25.1.0
	@touch $@

# The compiled build is an option: without a C compiler it is left out, and said to be.
build/compiled/.built: $(VENV)/.test $(wildcard sml_codec/*.py)
	@mkdir -p build/compiled
	@if command -v cc >/dev/null; then \
	    echo "compiling sml_codec"; \
	    $(BIN)/python -m sml_codec.build_compiled build/compiled >/dev/null; \
	else \
	    rm -rf build/compiled/sml_codec; echo "no C compiler: sml_codec is not compiled"; \
	fi
	@touch $@
