# Each target makes the virtual environment it needs. TORCH_INDEX picks a build of torch:
#   make demo TORCH_INDEX=<the index of CPU or CUDA wheels that pytorch's install page names>
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH := "torch>=2.13,<2.14"
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo demo-full test test-all test-parity lint clean

demo: $(VENV)/demo.stamp
	$(BIN)/manyeyes run tiny
	$(BIN)/manyeyes see --examples

# The demo and its post-training: fine-tuning, visual RL, Toggle, PARL; hours. Every part goes on where it was stopped.
demo-full: $(VENV)/demo.stamp
	$(BIN)/manyeyes run tiny --full

test: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -rs --hypothesis-profile=search

# The comparisons with packages that are not in `dev`, in an environment of their own. A skip counts as a failure.
# Without dependencies: torchvision of PyPI is built for CUDA and would bring that torch (its own operators do not load
# beside the CPU build, which is why it stays out of `dev`); of tinker-cookbook one file is read.
test-parity:
	$(MAKE) VENV=.venv-parity .venv-parity/parity.stamp
	.venv-parity/bin/python -m pip install --quiet --no-deps torchvision==0.28.0 tinker-cookbook==0.6.1
	OMP_NUM_THREADS=1 .venv-parity/bin/python -m pytest -m parity --skips-fail tests/core

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) .venv-parity build dist .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "manyeyes needs Python 3.11 or newer; install it with: sudo apt-get install python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing; install it with: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first, so that TORCH_INDEX decides which build the other packages find installed.
$(VENV)/%.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@
