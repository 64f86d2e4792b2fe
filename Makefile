# Set-up happens once for each extra: a stamp in .venv is newer than pyproject.toml.
# PYTHON may name any Python from 3.11 on: make demo PYTHON=python3.12

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name) 2>/dev/null)))

.DELETE_ON_ERROR:
.PHONY: help demo demo-zh test bench clean

help:
	@echo "make demo      set up and run the main job on Reuters news"
	@echo "make demo-zh   the same from scratch on Chinese reviews"
	@echo "make test      set up, lint, check types and run every test"
	@echo "make bench     set up and measure side by side with other libraries"
	@echo "make clean     remove .venv, caches and runs of the demo"

demo: $(VENV)/.demo
	$(BIN)/quire demo

demo-zh: $(VENV)/.demo
	$(BIN)/quire demo zh

# pytest comes last, so that its summary does.
test: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis runs/demo-*

$(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[$*]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "quire needs Python 3.11 or newer; say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
