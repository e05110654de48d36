# The front door. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV := $(shell command -v uv || echo .local/uv/bin/uv)
BIN := .venv/bin
PACKAGES := operator agents/gpu agents/bench agents/fetch simulator dashboards demo localcluster
CODE := $(addsuffix /src,$(PACKAGES)) scripts
WORKERS ?= 2

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z_-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.local/uv/bin/uv:
	python3 -m venv .local/uv
	.local/uv/bin/pip install --quiet uv

.PHONY: setup
setup: .venv/.ready ## Make the virtual environment from requirements.lock

.venv/.ready: requirements.lock $(addsuffix /pyproject.toml,$(PACKAGES)) | $(UV)
	$(UV) venv --quiet --allow-existing .venv
	$(UV) pip sync --quiet --require-hashes requirements.lock
	$(UV) pip install --quiet --no-deps $(foreach package,$(PACKAGES),--editable ./$(package))
	touch $@

.PHONY: lock
lock: | $(UV) ## Resolve the dependencies anew and write the lock files
	UV=$(UV) python3 scripts/lock.py

.PHONY: generate
generate: setup ## Write what is generated: CRD, dashboards, reference docs
	$(BIN)/python scripts/generate.py

.PHONY: check
check: setup ## Lint, types, room contracts, and that generated files are up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate.py --check

.PHONY: test
test: setup ## Run every test that this machine can run
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not cluster and not flags and not vllm and not prometheus and not collector" tests
	$(BIN)/pytest -p no:randomly -m cluster tests

.PHONY: test-unit
test-unit: setup ## Run the tests that need no cluster
	$(BIN)/pytest -n $(WORKERS) -m "not api and not cluster and not chart and not alerts and not flags and not vllm and not prometheus and not collector" tests

.PHONY: test-api
test-api: setup ## Run the tests on a real API server
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m api tests

.PHONY: test-cluster
test-cluster: setup ## Run the tests on a real node (root)
	$(BIN)/pytest -p no:randomly -m cluster tests

.PHONY: test-telemetry
test-telemetry: setup ## Run the tests with a real OpenTelemetry Collector (minutes to build it, once)
	$(BIN)/pytest -n 0 tests/telemetry

.PHONY: test-flags
test-flags: setup ## Give rendered command lines to the argument parsers of released engines
	$(BIN)/pytest -n 0 -s -m flags tests/flags

.PHONY: test-vllm
test-vllm: setup ## Run the real vLLM on a real node (root, 30 GB of disk, about 20 minutes)
	$(BIN)/pytest -p no:randomly -s -v -m vllm tests/vllm

.PHONY: test-prometheus
test-prometheus: setup ## Ask every dashboard query and alert rule of a real Prometheus beside the demo (root, minutes)
	$(BIN)/pytest -p no:randomly -s -v -m prometheus tests/prometheus

.PHONY: screens
screens: setup ## Draw the dashboards from the demo's Prometheus into docs/screens (chromium; after `make demo`)
	$(BIN)/python scripts/screens.py

.PHONY: images
images: setup ## Build the images and load them into the local cluster, or push them to IMAGE_REGISTRY
	$(BIN)/python scripts/images.py

.PHONY: demo
demo: setup ## See it work: cluster, chart, deployment, traffic, scaling
	$(BIN)/autoglm-demo up

.PHONY: demo-down
demo-down: setup ## Remove what the demo made
	$(BIN)/autoglm-demo down

.PHONY: bench
bench: setup ## Measure and print every figure (takes about an hour)
	$(BIN)/python bench/run.py

.PHONY: bench-agent
bench-agent: setup ## Measure the agent: memory, CPU, scrape, cost of a read, growth (takes about 7 minutes)
	$(BIN)/python bench/agent.py

.PHONY: bench-autoscaling
bench-autoscaling: setup ## Replay our control law against every tuned peer (hours; ARGUMENTS=--quick for one seed)
	$(BIN)/python bench/autoscaling/run.py $(ARGUMENTS)
