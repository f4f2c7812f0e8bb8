# make run   environment, install, chat page at http://127.0.0.1:7860
# make test  environment, install, tests
#
# Needs Python 3.11 or newer and make. Everything lands in .venv; `make clean` takes it away.
# Another Python: make run PYTHON=/path/to/python3.12      Another page: make run HOST=… PORT=…

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 7860
DATA ?= data
OUT ?= runs/starter
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --progress-bar off --disable-pip-version-check \
    --prefer-binary --constraint constraints.txt --editable
CHECKED := assistant retrieval data_recipes training app.py

# Nothing looks up a model hub or reports usage.
export HF_HUB_OFFLINE ?= 1
export GRADIO_ANALYTICS_ENABLED ?= False

.DEFAULT_GOAL := help
.PHONY: help run test lint format slow browser pacs gpu starter clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed '/^Nothing looks/,$$d'
	@echo "Also: make lint, format, slow, browser, pacs, gpu, starter (DATA=… OUT=…), clean"

# The environment is made once. An install runs again only when its stamp is older than what decides it.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python found. Install Python 3.11, or: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is `"$(PYTHON)" -V`; 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV): about 6 GB the first time, a few minutes." >&2
	$(PIP_INSTALL) .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) with what tests and training need: about 6 GB the first time, a few minutes." >&2
	$(PIP_INSTALL) ".[train,pacs,deid,exports,lance,pg,dev]"
	@touch $(VENV)/.installed $@

run: $(VENV)/.installed
	$(BIN)/python app.py chat --host $(HOST) --port $(PORT)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

browser: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m browser $(PYTEST_ARGS)

pacs: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m pacs $(PYTEST_ARGS)

gpu: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m gpu $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pydoclint $(CHECKED)
	$(BIN)/codespell

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The shipped model again, from a manifest folder: make starter DATA=/folder/with/manifest.jsonl
starter: $(VENV)/.installed-dev
	$(BIN)/python -m training.starter --data $(DATA) --out $(OUT)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
