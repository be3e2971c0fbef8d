# What a checkout can do. Every target makes .venv and builds the package where needed; the wheel is
# built once per change of its sources and used by all targets. `make` alone lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

BASE_PYTHON ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PIP_CONSTRAINT := $(abspath tests/constraints.txt)
# .venv's tools (cmake and ninja where the machine has none) before the machine's.
export PATH := $(abspath $(VENV))/bin:$(PATH)

# PYTEST_ARGS="-k softmax -x" and the like are passed on.
PYTEST_ARGS ?=
# On CI warnings of the compiler are errors in the one wheel that everything uses.
WHEEL_ARGS := $(if $(CI),-C cmake.define.FLOWBOOK_WERROR=ON)

SOURCES := $(shell find csrc src kernel_ext cmake -type f \
  ! -name '*.pyc' ! -name '*.so' ! -path '*/node_modules/*' ! -path '*/frontend/test/*' \
  2>/dev/null)
WHEEL := build/wheel/.built

.PHONY: help lab demo test test-browsers check bench peers clean dev wheel sanitize sanitize-build race format

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | \
	  awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

# ---- environment and package ---------------------------------------------------------------------
$(VENV)/.ready: tools/bootstrap pyproject.toml tests/constraints.txt
	@tools/bootstrap $(BASE_PYTHON) $(VENV)
	@touch $@

$(WHEEL): $(VENV)/.ready pyproject.toml CMakeLists.txt $(SOURCES)
	@rm -rf build/wheel && mkdir -p build/wheel
	@echo "building flowbook (minutes the first time, seconds later)"
	@$(PYTHON) -m pip wheel . --no-build-isolation --no-deps --quiet -w build/wheel $(WHEEL_ARGS)
	@touch $@

# .venv/.installed: the package alone; .venv/.<extra>: with the dependencies of that extra.
$(VENV)/.installed: $(WHEEL)
	@$(PYTHON) -m pip install --quiet --no-deps --force-reinstall build/wheel/flowbook-*.whl
	@touch $@

$(VENV)/.%: pyproject.toml tests/constraints.txt $(WHEEL)
	@wheel=$$(ls build/wheel/flowbook-*.whl) && $(PYTHON) -m pip install --quiet "$$wheel[$*]"
	@touch $@

wheel: $(WHEEL) ## build the wheel into build/wheel
	@ls build/wheel/*.whl

dev: $(VENV)/.test ## compile into build/dev for PYTHONPATH=src:kernel_ext; fast after a change
	@PYTHON=$(abspath $(PYTHON)) tools/dev-build

# ---- use -----------------------------------------------------------------------------------------
lab: $(VENV)/.lab $(VENV)/.installed ## open the quickstart in JupyterLab
	@tools/lab $(PYTHON)

demo: $(VENV)/.lab $(VENV)/.installed ## run the quickstart; ends with "test accuracy: NN.N %"
	@$(PYTHON) tools/demo.py notebooks/01-quickstart.ipynb

# ---- development ---------------------------------------------------------------------------------
test: $(VENV)/.test $(VENV)/.installed ## run all tests against the installed package
	@tools/frontend $(PYTHON) test
	@tools/test $(PYTHON) $(PYTEST_ARGS)

# Older ipykernels, each in a folder that comes first on the path of its kernel.
KERNELS := 6.31.0 7.2.0 7.3.0

build/kernels/%/.ready:
	@echo "installing ipykernel $* into $(@D)"
	@PIP_CONSTRAINT= $(PYTHON) -m pip install --quiet --no-deps --upgrade --target $(@D) \
	  ipykernel==$* nest-asyncio
	@touch $@

test-browsers: $(VENV)/.test $(VENV)/.installed $(KERNELS:%=build/kernels/%/.ready) ## run the browser tests on all ipykernels, in JupyterLab and Notebook 7
	@FLOWBOOK_BROWSERS=all $(PYTHON) -m pytest tests/browser $(PYTEST_ARGS)

check: $(VENV)/.check $(if $(CI),$(WHEEL)) ## ruff, clang-format, mypy, codespell, layering, -Werror
	@tools/check $(PYTHON)

format: $(VENV)/.check ## rewrite C++ and Python sources in the project's style
	@tools/check $(PYTHON) --fix

sanitize: $(VENV)/.test ## run the op harness under ASan and UBSan
	@PYTHON=$(abspath $(PYTHON)) tools/sanitize $(PYTEST_ARGS)

sanitize-build: $(VENV)/.test ## only compile what `make sanitize` runs
	@PYTHON=$(abspath $(PYTHON)) tools/sanitize --build

race: $(VENV)/.test ## run the native tests of pool and executor under ThreadSanitizer
	@FLOWBOOK_SANITIZE=thread PYTHON=$(abspath $(PYTHON)) tools/sanitize

peers: .peers/.ready ## install PyTorch and JAX into .peers, for make bench

.peers/.ready: tests/benchmarks/peers.txt
	@tools/bootstrap --bare $(BASE_PYTHON) .peers
	@PIP_CONSTRAINT= .peers/bin/python -m pip install --quiet -r tests/benchmarks/peers.txt
	@touch $@

bench: $(VENV)/.test $(VENV)/.installed ## compare speed with the peers that `make peers` installed
	@$(PYTHON) tests/benchmarks/run.py $(BENCH_ARGS)

clean: ## remove what make made, except .peers
	@rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@rm -rf src/flowbook/_core*.so kernel_ext/flowbook_ext/static kernel_ext/frontend/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
