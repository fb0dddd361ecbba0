# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Each makes .venv and installs what it needs; when that is in place, nothing is installed again.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check release-check stubs bench bench-long browser bench-finder bench-rates bench-gpu clean
SHELL := /bin/sh

# Options, each settable from the command line.
BACKEND ?= jax
DEMO_ARGS ?=
RELEASE_ARGS ?=
LEG ?=
PYTEST_ARGS ?=
BENCH ?= $(filter-out benchmarks/gpu.py,$(sort $(wildcard benchmarks/[!_]*.py)))
BENCH_ARGS ?=
PYTHON ?=

VENV := .venv
BIN := $(VENV)/bin

# One stamp for each set of extras, made again when what it was made from changes.
COMMA := ,
STAMP := $(VENV)/.installed-
EXTRAS_jax := demo
EXTRAS_tensorflow := demo+tensorflow-cpu
EXTRAS_torch := demo+torch
EXTRAS_torch-native := demo+torch
EXTRAS_optax := demo+optax

help:
	@echo "make demo    the main job on real data: layer-wise rates beside the usual ways"
	@echo "             BACKEND=jax|tensorflow|torch|torch-native|optax, DEMO_ARGS='--help'"
	@echo "make test    all tests, those of Keras once for each of its backends"
	@echo "             LEG=nouns|faces|docs|jax|tensorflow|torch|torch-native|optax|oldest, PYTEST_ARGS='-k nadam -x'"
	@echo "make check   lint, formatting, types, and the documentation built strictly"
	@echo "make release-check  wheel and sdist: built, checked, installed and tried in build/release"
	@echo "             RELEASE_ARGS='--framework torch'"
	@echo "make stubs   the signatures of layerwise.keras.layers, anew from the installed Keras"
	@echo "make bench   the benchmarks, a first look; BENCH=benchmarks/overhead.py, BENCH_ARGS='--help'"
	@echo "make bench-long  the benchmarks, as the documentation's figures are taken"
	@echo "make bench-gpu  what the rates cost on a GPU, and whether the numbers are right there"
	@echo "make bench-finder  how good the suggested rates are, against an oracle"
	@echo "make bench-rates  how good the rates found for layers are, against an oracle and peers"
	@echo "make clean   remove caches and built files; .venv and runs/ stay"

ifeq ($(filter $(BACKEND),jax tensorflow torch torch-native optax),)
demo:
	@echo "BACKEND=$(BACKEND) is not known: choose jax, tensorflow, torch, torch-native or optax" >&2
	@exit 2
else
demo: $(STAMP)$(EXTRAS_$(BACKEND))
	@$(BIN)/layerwise demo --backend $(BACKEND) $(DEMO_ARGS)
endif

ifeq ($(LEG),oldest)
# The oldest versions, in an environment of their own.
test:
	@[ -x build/oldest/bin/python ] || $(MAKE) --no-print-directory VENV=build/oldest BIN=build/oldest/bin build/oldest/bin/python
	@build/oldest/bin/python -m pip install -qq --disable-pip-version-check \
		-c constraints-oldest.txt -e ".[oldest]" </dev/null
	@build/oldest/bin/python tests/run_legs.py oldest -- $(PYTEST_ARGS)
else
test: $(STAMP)test browser
	@$(BIN)/python tests/run_legs.py $(LEG) -- $(PYTEST_ARGS)
endif

# The report is tested in a browser. Without one these tests are skipped, and say so.
browser:
	@{ command -v chromium && command -v chromedriver; } >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "Installing chromium and chromium-driver ..." && \
		{ timeout 300 apt-get update; DEBIAN_FRONTEND=noninteractive timeout 600 \
			apt-get install -y chromium chromium-driver; } </dev/null >/dev/null 2>&1; } || \
	echo "No chromium and chromedriver here, and they can't be installed: the tests of the" \
		"report in a browser will be skipped" >&2

check: $(STAMP)dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Needs no extra: it makes environments of its own.
release-check: | $(BIN)/python
	@$(BIN)/python tests/check_release.py $(RELEASE_ARGS)

stubs: $(STAMP)test
	$(BIN)/python -m tests._scripts.keras_layer_stubs

# Each prints the tables of docs/cost.md.
bench: BENCH_ARGS := $(or $(BENCH_ARGS),--quick)
bench bench-long: $(STAMP)test
	@set -e; for script in $(BENCH); do echo "$$script"; $(BIN)/python "$$script" $(BENCH_ARGS); done

# On a machine of one's own choice: the frameworks there need not be those of constraints.txt.
bench-gpu: | $(BIN)/python
	$(or $(PYTHON),$(BIN)/python) benchmarks/gpu.py $(BENCH_ARGS)

# The panel of the finder; its oracle takes an hour the first time, and is kept.
bench-finder: $(STAMP)test
	$(BIN)/python -m benchmarks.finder $(BENCH_ARGS)

# The panel of find_rates; its oracle takes an hour the first time, and is kept.
bench-rates: $(STAMP)test
	$(BIN)/python -m benchmarks.rates $(BENCH_ARGS)

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP)%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing layerwise[$(subst +,$(COMMA),$*)] into $(VENV) (minutes the first time) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
		-c constraints.txt -e ".[$(subst +,$(COMMA),$*)]" </dev/null
	@touch $@

# A name alone is no proof: a version manager may own a python3.11 that does not run.
$(BIN)/python:
	@for python in $(or $(PYTHON),python3.11 python3); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		echo "Making $(VENV) with $$("$$python" --version) ..."; \
		"$$python" -m venv $(VENV) && $@ -m pip --version >/dev/null && \
			rm -f $(STAMP)* && exit 0; \
		rm -f $@; \
		echo "$$python could not make $(VENV); on Debian and Ubuntu its venv module is a" \
			"package of its own: python3-venv" >&2; exit 1; \
	done; \
	echo "Layerwise needs Python 3.11 or newer, and found none as $(or $(PYTHON),python3.11 or python3);" \
		"name one with PYTHON=..." >&2; exit 1
