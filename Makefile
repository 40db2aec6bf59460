# Both `make demo` and `make test` work where only python3, pip and make exist.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
STAMP := $(VENV)/.installed
# One more than there are cores: many tests wait for processes, leases and disks.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# Each test belongs to one tier; tests/tiers.py says to which.
PYTEST := tests/in_memory $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

.PHONY: bench check costs profile quick test test-slow test-all coverage demo lint types layers format mutation soak fuzz clean

demo: $(STAMP)
	$(BIN)/janitor demo

# Pure or in process: under a minute on two cores.
quick: $(STAMP)
	$(PYTEST) --tier quick

# What a change has to pass before anybody looks at it: five minutes on two cores.
test: $(STAMP)
	$(PYTEST) --tier quick --tier standard

# What else has to hold: killed processes, faults, models, months, images, mutants, full matrices.
test-slow: $(STAMP)
	$(PYTEST) --tier slow

test-all: $(STAMP)
	$(PYTEST)

coverage: $(STAMP)
	$(BIN)/coverage erase
	tests/in_memory $(BIN)/coverage run -m pytest -n auto --dist loadgroup
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: lint types layers

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/deptry .

types: $(STAMP)
	$(BIN)/mypy
	find tests -name conftest.py | xargs -n 1 $(BIN)/mypy --no-error-summary

layers: $(STAMP)
	$(BIN)/lint-imports --no-cache

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

mutation: $(STAMP)
	$(UV) sync --quiet --locked --inexact --extra test --group mutation
	$(BIN)/mutmut run

# Plays tests/model for GAMES games a test, by a seed of the day that is printed and can be given.
GAMES ?= 200
SEED ?= $(shell date +%s)
soak: $(STAMP)
	JANITOR_SOAK=$(GAMES) $(BIN)/python -m pytest -n auto tests/model --hypothesis-seed=$(SEED) --timeout=0

# Plays tests/fuzz, hostile rows and answers, for MINUTES; a SEED and a ROUND play one again.
MINUTES ?= 1
fuzz: $(STAMP)
	MINUTES=$(MINUTES) SEED=$(SEED) ROUND=$(ROUND) tests/in_memory $(BIN)/python tests/fuzz/fuzz_main.py

# Ratios side by side in one run; see bench/README.md.
bench: $(STAMP)
	$(BIN)/python bench/run.py $(B)

# Where the CPU of B2, B5 and B6 goes, by library.
profile: $(STAMP)
	$(BIN)/python bench/profiles.py $(B)

# Draws docs/costs.svg: CPU against registered rows, due threads, policies and items.
costs: $(STAMP)
	$(UV) sync --quiet --locked --inexact --extra test --group bench
	$(BIN)/python bench/draw_costs.py docs/costs.svg

$(STAMP): uv.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x "$(UV)" || $(BIN)/pip install --quiet uv
	# The distribution's former name: left there, it would go with the command when uninstalled later.
	$(UV) pip uninstall --quiet --python $(BIN)/python janitor
	$(UV) sync --quiet --locked --inexact --extra test
	touch $@

clean:
	rm -rf $(VENV) build dist mutants .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .bytecode
