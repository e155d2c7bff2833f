# make demo: set up and run the demo study.   make test: set up and run the tests.   make help: the rest.

PYTHON ?= python3
CORES ?= all
OPEN_CXR := ../shared/data/open-cxr
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

NEW_ENVIRONMENT = $(PYTHON) -c '$(CHECK_PYTHON)' && $(PYTHON) -m venv --clear $(VENV)
CHECK_PYTHON = import sys; sys.version_info >= (3, 11) or sys.exit("synvlp needs Python 3.11 or newer, and $(PYTHON) is \
	%d.%d; name another one: make PYTHON=python3.11 ..." % sys.version_info[:2])

.DEFAULT_GOAL := help
.PHONY: help demo open test test-quick check format benchmarks lock docs clean

help:
	@echo 'make demo        set up .venv and run the demo study; the page is results/demo/tables/index.html'
	@echo 'make test        set up .venv and run all tests'
	@echo 'make test-quick  the tests without those that run the whole DAG'
	@echo 'make open        the study on the real, open collection (SYNVLP_OPEN_CXR is its folder, or else $(OPEN_CXR))'
	@echo 'make check       formatting, lint and import contract'
	@echo 'make benchmarks  print the benchmark tables'
	@echo 'make docs        write docs/settings.md, the schema of the config and the picture of the DAG anew'
	@echo 'make lock        resolve envs/*.in into the pinned requirements'

demo: $(VENV)/.run
	$(BIN)/snakemake --cores $(CORES)
	@echo 'Look at results/demo/tables/index.html'

open: $(VENV)/.run
	@echo "The collection is read from $${SYNVLP_OPEN_CXR:-$(OPEN_CXR)}; set SYNVLP_OPEN_CXR to another folder (docs/data.md)"
	$(BIN)/snakemake --cores $(CORES) --configfile studies/open.yaml

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

test-quick: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder -m "not workflow and not slurm"

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/lint-imports

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

benchmarks: $(VENV)/.test
	$(BIN)/python benchmarks/run.py

docs: $(VENV)/.test
	$(BIN)/python docs/make.py

lock: $(VENV)/.test
	cd envs && ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-header --no-emit-index-url --output-file requirements.txt requirements.in
	cd envs && ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-header --no-emit-index-url --output-file requirements-dev.txt requirements-dev.in

# The environment is made anew, from nothing, whenever the pins are newer than it or it was not finished ($? names what
# is newer). What the tests need is then added to it, as it is when only that has changed.
$(VENV)/.run: envs/requirements.txt pyproject.toml
	$(if $(filter envs/%,$?),$(NEW_ENVIRONMENT))
	$(PIP) --require-hashes --requirement envs/requirements.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.test: envs/requirements-dev.txt $(VENV)/.run
	$(PIP) --require-hashes --requirement envs/requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .snakemake scratch
