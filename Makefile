# Every target makes the virtual environment if it is missing, and installs this package into it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Libraries use one thread each; what runs side by side are processes.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: help demo docs test lint types unit test-long test-slurm test-gpu fuzz bench format clean

help:
	@echo "make demo [VIDEO=path]  the whole job on a small made set; also on your own video"
	@echo "make docs               the documentation as pages: site/index.html"
	@echo "make test               lint, types and all tests but the longest"
	@echo "make test-long          the longest tests: the demo against permuted labels, kernels, kills, faults, fuzzing"
	@echo "make lint | types | unit | format"
	@echo "make test-slurm         a real SLURM on this machine's loopback, for a few minutes (Debian, root)"
	@echo "make test-gpu           what needs a CUDA device"
	@echo "make bench              benchmarks that fit into 15 minutes; renews the figures of docs/benchmarks.md"
	@echo "make fuzz               500 damaged media files through the whole extraction"

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[models,face-alignment,egemaps,parquet,hpc,docs,dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m demo $(if $(VIDEO),--video '$(VIDEO)')

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo site/index.html

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal

test-long: $(STAMP)
	$(BIN)/python -m pytest -q -m long --numprocesses 2 --dist worksteal

# Where SLURM is not and cannot be installed, this says so and its tests are skipped.
test-slurm: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m slurm install
	$(BIN)/python -m pytest -q -m slurm tests/slurm

# Without a CUDA device they are skipped, and say so.
test-gpu: $(STAMP)
	$(BIN)/python -m pytest -q -m gpu

MEDIA ?= $(wildcard ../shared/media)
fuzz: $(STAMP)
	$(BIN)/python -m fuzz --count 500 --seed 1 --workers 2 $(if $(MEDIA),--media '$(MEDIA)')

bench: $(STAMP)
	$(BIN)/python -m benchmarks all --into bench-run --page docs/benchmarks.md $(if $(MEDIA),--media '$(MEDIA)')

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf demo-run bench-run site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
