# make demo: from nothing to a trained and evaluated recognizer.   make test: lint, types, tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow lint install install-dev clean

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch goes first, alone, at the pinned version: the index then offers the build that the pin names
# and the rest of the dependencies find it there. CPU_INDEX says where the small CPU build comes from.
$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP_INSTALL) $(if $(CPU_INDEX),--index-url $(CPU_INDEX)) torch==$(shell sed -n 's/^torch==//p' constraints.txt)
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/frameflow demo

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n 2 -m "not slow"

test-slow: install-dev
	$(BIN)/pytest -m slow

clean:
	rm -rf $(VENV) build dist demo *.egg-info
