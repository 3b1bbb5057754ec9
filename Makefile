# Everything that people and CI run. `make` or `make help` lists it.
#
# Each target does the set-up that it needs; stamps make the second run a matter of seconds. The
# lock lets several makes share one checkout. `make PYTHON=python3.13 test` takes that Python, for
# .venv, which stays with it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?= $(shell for python in python3 /usr/bin/python3; do \
	$$python -c 'import sys; assert sys.version_info >= (3, 11); print(sys.executable)' \
	2>/dev/null && exit; done; echo python3)
DPDK ?= auto
TIME ?= 60
SEEDS ?= 500
MINUTES ?= 10
JOBS ?= 2
ARGS ?=

BIN := .venv/bin
STAMPS := build/.stamps
NATIVE := build/native
MODULE := transport_engine/_native.abi3.so
CROSSING := machnet_rpc/_crossing.abi3.so
# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each of hundreds of processes would
# compile them anew.
PACKAGES := machnet_rpc idl transport_engine examples benchmarks tests
WITH_TOOLS := PATH="$(CURDIR)/$(BIN):$$PATH"
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: same
same:
ifneq ($(origin PYTHON),file)
	@[ ! -e $(BIN)/python ] || [ "$$($(PYTHON) -V)" = "$$($(BIN)/python -V)" ] || { \
		echo ".venv has $$($(BIN)/python -V), and not that of PYTHON=$(PYTHON): make clean first"; \
		exit 1; } >&2
endif

.PHONY: setup
setup: same ## Everything for development, without building
	@mkdir -p $(STAMPS)
	@flock $(STAMPS) $(MAKE) --silent $(STAMPS)/tools

.PHONY: build
build: same ## Build the extension into the checkout
	@mkdir -p $(STAMPS)
	@flock $(STAMPS) $(MAKE) --silent $(MODULE)
	@$(BIN)/python -m compileall -q -j 0 $(PACKAGES)

.PHONY: demo
demo: build ## Two engines on this machine, a key-value store and an exchange over them
	@$(BIN)/python -m examples.demo $(ARGS)

.PHONY: test
test: setup build ## All tests, JOBS=2 files at once (ARGS="-k name" for some)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --max-worker-restart 0 $(ARGS)

.PHONY: docs
docs: build ## The documentation as a site, into build/site
	@flock $(STAMPS) $(MAKE) --silent $(STAMPS)/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo 'docs: build/site/index.html'

.PHONY: check
check: setup build ## Format, lint, types, house style
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/basedpyright
	@$(BIN)/python -m pytest --quiet tests/tidy

.PHONY: format
format: setup ## Rewrite Python files in the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: bench
bench: build ## The whole table beside grpc, uvloop, iceoryx2 and others; ARGS="--quick"
	@flock $(STAMPS) $(MAKE) --silent $(STAMPS)/bench
	@$(BIN)/python -m benchmarks.bench $(ARGS)

.PHONY: loss
loss: setup build ## What a lost packet costs, between engines in memory
	@$(BIN)/python -m benchmarks.loss $(ARGS)

.PHONY: wire
wire: setup build ## A million messages per driver over a faulty path; needs root, takes minutes
	@$(BIN)/python -m benchmarks.wire $(ARGS)

.PHONY: fuzz
fuzz: setup build ## Fuzz the parsers for TIME seconds each
	@$(BIN)/python -m tests.fuzz.run --seconds $(TIME)

.PHONY: coverage
coverage: setup build ## Which lines and branches of the flow core the tests reach
	@$(BIN)/python -m tests.flow_coverage $(ARGS)

.PHONY: sim
sim: setup build ## What the transport reaches in virtual time, and SEEDS random networks
	@$(BIN)/python -m tests.sim.report --seeds $(SEEDS) $(ARGS)

.PHONY: constants
constants: setup build ## What each constant of congestion control does; takes ten minutes
	@$(BIN)/python -m tests.sim.constants $(ARGS)

.PHONY: siege
siege: setup build ## What engines and applications survive, for MINUTES of garbage and more
	@$(BIN)/python -m tests.e2e.siege --minutes $(MINUTES) $(ARGS)

.PHONY: soak
soak: build ## One server and clients of every kind for MINUTES; memory, descriptors and answers watched
	@flock $(STAMPS) $(MAKE) --silent $(STAMPS)/bench
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

.PHONY: payloads
payloads: setup build ## A million random payloads at a server: an error each, and it stays up
	@$(BIN)/python -m tests.machnet_rpc.payloads $(ARGS)

.PHONY: clean
clean: ## Remove everything that was made here
	rm -rf build dist .venv $(MODULE) $(CROSSING) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/packages-%: .ci/packages
	@.ci/packages $*
	@touch $@

$(BIN)/python: | $(STAMPS)/packages-build
	@echo 'setup: .venv with $(PYTHON)'
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "needs Python >= 3.11"'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --upgrade 'pip >= 25.1'

# --group reads PEP 735 groups, which pip learned in 25.1.
$(STAMPS)/python: pyproject.toml $(STAMPS)/packages-build | $(BIN)/python
	@echo 'setup: Python packages'
	@$(BIN)/pip install --quiet --group build --group examples
	@touch $@

$(STAMPS)/tools: pyproject.toml $(STAMPS)/python $(STAMPS)/packages-test
	@echo 'setup: tools for tests and checks'
	@$(BIN)/pip install --quiet --group test --group check
	@touch $@

$(STAMPS)/docs: pyproject.toml $(STAMPS)/python
	@$(BIN)/pip install --quiet --group docs
	@touch $@

$(STAMPS)/bench: pyproject.toml $(STAMPS)/python
	@$(BIN)/pip install --quiet --group bench
	@touch $@

# An editable install for its metadata and scripts. Its import hook would run ninja at the start of
# every process and keep no bytecode, so a plain path takes its place, and make does the rebuilding.
$(STAMPS)/editable: pyproject.toml $(STAMPS)/python
	@echo 'build: editable install'
	@rm -rf $(NATIVE)
	@$(WITH_TOOLS) $(BIN)/pip install --quiet --no-build-isolation \
		--config-settings=build-dir=$(NATIVE) --config-settings=setup-args=-Ddpdk=$(DPDK) \
		--config-settings=setup-args=-Dwerror=true --editable '.[msgspec]'
	@pth=$$(echo $(BIN)/../lib/python3*/site-packages/machnet-rpc-editable.pth); \
		[ -f $$pth ] && echo '$(CURDIR)' > $$pth
	@ln -sf ../$(NATIVE)/$(MODULE) $(MODULE)
	@ln -sf ../$(NATIVE)/$(CROSSING) $(CROSSING)
	@touch $@

.PHONY: FORCE
$(MODULE): $(STAMPS)/editable FORCE
	@$(WITH_TOOLS) ninja -C $(NATIVE) --quiet
