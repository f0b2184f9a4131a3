# make run    install, run the quickstart sweeps, say where figures, tables and datasets are
# make test   install, run the tests            make lint   formats, lints, types
# make test-faults  kills, full disks, flipped bits, malformed input: many times, counted
# make test-slurm   the same jobs on a real SLURM of one node (root)
# make all    everything in config/config.yaml   make bench  the short set of benchmarks
PYTHON ?= python3
VENV ?= .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
SNAKEMAKE := $(BIN)/snakemake --profile workflow/profiles/default
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run all resume test test-slurm test-faults lint format bench clean
.DELETE_ON_ERROR:

run: $(VENV)/.installed
	@started=$$(date +%s); \
	$(SNAKEMAKE) --configfile config/quickstart/config.yaml --quiet rules host \
	&& phasesweep summary config/quickstart/config.yaml --since $$started

all resume: $(VENV)/.installed
	@started=$$(date +%s); $(SNAKEMAKE) && phasesweep summary config/config.yaml --since $$started

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

# A real SLURM of one node: needs root, and apt-get unless slurm-wlm and munge are installed already.
# It listens on loopback, in a folder of its own, and is stopped at the end. A few minutes.
test-slurm: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/slurm/real_cluster.py

# The tests of tests/faults many times over, with what they counted. Half an hour; a full disk needs root.
test-faults: $(VENV)/.installed-dev
	PHASESWEEP_FAULTS=long $(BIN)/python -m pytest tests/faults

lint: $(VENV)/.installed-dev
	ruff check .
	ruff format --check .
	snakefmt --check --compact-diff Snakefile workflow
	mypy

format: $(VENV)/.installed-dev
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

bench: $(VENV)/.installed-dev
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python -m $$(echo $$script | tr / . | sed s/.py$$//) --short || exit 1; done

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	    f"phasesweep needs Python 3.11 or later; {sys.executable} is {v[0]}.{v[1]}; try: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a minute or two, once)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP) --editable '.[dev,slurm]'
	@touch $@

clean:
	rm -rf $(VENV) .snakemake .pytest_cache .hypothesis .mypy_cache .ruff_cache solvers/__pycache__
