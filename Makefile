# Everything a developer or a visitor types. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCKS := requirements/dev.txt requirements/torch.txt requirements/torch-slim.txt requirements/compiler.txt
NATIVE := $(wildcard server/llmi_server/kernels/*.[ch]) server/llmi_server/kernels/compile.py
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --custom-compile-command "make lock"

##@ See it work
demo: $(READY) ## Serve models on a local cluster and ask them something
	$(BIN)/python hack/demo.py

demo-observability: $(READY) ## Watch models under load in a real Prometheus with rules and alerts, without a cluster
	$(BIN)/python hack/demo_observability.py

serve: $(READY) ## Run the model server alone, without Kubernetes, with a real embedding model
	$(BIN)/python hack/serve.py

##@ Work on it
init: $(READY) ## Make the virtual environment

check: $(READY) ## Lint, types, import rules, layout, generated files: seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --follow-imports=silent hack/*.py
	$(BIN)/mypy --follow-imports=silent bench/*.py
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m llmi_api --check
	$(BIN)/python hack/generate_docs.py --check
	$(BIN)/pytest -q tests/contract

format: $(READY) ## Let ruff format and mend what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

generate: $(READY) ## Write the CRD and the reference pages from the code
	$(BIN)/python -m llmi_api
	$(BIN)/python hack/generate_docs.py

golden: $(READY) ## Rewrite the expected manifests; look at the difference before you commit
	$(BIN)/pytest -q tests/operator --golden-update

lock: $(READY) ## Resolve all dependencies anew and write their hashes
	for name in build compiler; do $(COMPILE) --universal requirements/$$name.in -o requirements/$$name.txt; done
	for extra in operator server dev; do $(COMPILE) --universal --extra $$extra pyproject.toml -o requirements/$$extra.txt; done
	$(COMPILE) --universal -c requirements/dev.txt requirements/torch.in -o requirements/torch.txt
	$(COMPILE) --no-deps --python-platform x86_64-manylinux_2_28 requirements/torch-slim.in -o requirements/torch-slim.txt
	$(COMPILE) -c requirements/torch.txt --python-platform x86_64-manylinux_2_28 requirements/torch-cuda.in -o requirements/torch-cuda.txt
	$(COMPILE) --no-deps --python-platform x86_64-manylinux_2_35 requirements/triton.in -o requirements/triton.txt
	for peer in infinity onnx transformers triton vllm; do $(COMPILE) --python-platform x86_64-manylinux_2_35 --excludes requirements/peers/torch.exclude requirements/peers/$$peer.in -o requirements/peers/$$peer.txt; done

##@ Test it
test: check ## Everything: unit, server, observability, apiserver, faults and cluster tiers, with a summary
	$(BIN)/python hack/run_tests.py unit observability apiserver+faults cluster gpu

test-fast: check ## Unit and server tests only: minutes
	$(BIN)/python hack/run_tests.py unit

test-observability: $(READY) ## Rules, alerts and dashboards with a real Prometheus and Alertmanager: minutes
	$(BIN)/python hack/run_tests.py observability

test-apiserver: $(READY) ## The operator against a real kube-apiserver
	$(BIN)/python hack/run_tests.py apiserver

test-faults: $(READY) ## All that goes wrong between the operator and the API server: 20 minutes
	$(BIN)/python hack/run_tests.py faults

test-telemetry: $(READY) ## Traces and logs through a real collector, Jaeger and search engine (needs Java and Maven)
	$(BIN)/python hack/run_tests.py telemetry

test-engines: $(READY) ## A real vLLM: as a process, and on the local cluster (a download of 0.4 GB, 10 GB on the disk, 25 minutes)
	$(BIN)/python hack/run_tests.py engines

test-cluster: $(READY) ## The product on the local cluster
	$(BIN)/python hack/run_tests.py cluster

soak: $(READY) ## The long tests: outages of minutes, and whatever else takes its time
	PYTEST_ARGS="$(PYTEST_ARGS) -s" $(BIN)/python hack/run_tests.py soak

bench: $(READY) ## Measure the server against its peers, into docs/benchmarks.md (an hour or two; BENCH_ARGS="bert-c8 --rounds 3")
	PYTHONPATH=tests/support:hack $(BIN)/python bench/run.py $(BENCH_ARGS)

bench-gpu: $(READY) ## The same on a machine with an NVIDIA GPU, against A and infinity: 10 minutes
	PYTHONPATH=tests/support:hack $(BIN)/python bench/run.py --gpu $(BENCH_ARGS)

bench-peers: $(READY) ## Install those peers, each into an environment of its own (5 GB in the cache folder)
	PYTHONPATH=hack $(BIN)/python bench/peers.py

bench-kernels: $(READY) ## Measure our matrix kernels against PyTorch's, in one process, call by call in turn: 2 minutes
	PYTHONPATH=tests/support:hack $(BIN)/python bench/kernels.py

bench-json: $(READY) ## Measure how vectors are written as JSON, against Pydantic: seconds
	$(BIN)/python bench/json_vectors.py

bench-onnx: $(READY) ## Measure our engine against ONNX Runtime, the engines alone, on the same batches: 10 minutes
	PYTHONPATH=tests/support:hack $(BIN)/python bench/engine_choice.py $(BENCH_ARGS)

bench-overload: $(READY) ## Measure what four times the load does to the server, and how long it takes to stop: 9 minutes
	PYTHONPATH=tests/support $(BIN)/python bench/overload.py $(BENCH_ARGS)

bench-operator: $(READY) ## Measure what the operator carries: 1,000 at once, 2,000, 10,000 (long; BENCH_ARGS="edits --scale 0.1")
	PYTHONPATH=tests/support $(BIN)/python bench/operator_scale.py $(BENCH_ARGS)

bench-scaling: $(READY) ## Measure how soon a step of load gets another replica, on the local cluster (after make deploy)
	PYTHONPATH=tests/support:hack $(BIN)/python bench/scaling.py $(BENCH_ARGS)

bench-engines: $(READY) ## Compare three engines and the obvious program in pods of the local cluster (after make deploy; 10 minutes and an image of 3 GB)
	PYTHONPATH=hack $(BIN)/python hack/vllm_image.py
	PYTHONPATH=tests/support:hack $(BIN)/python bench/engines_on_cluster.py $(BENCH_ARGS)

##@ Run it
images: $(READY) ## Build the images with docker (TORCH=cuda: the one for NVIDIA GPUs as well)
	$(BIN)/python hack/images.py build

cluster: $(READY) ## Bring up a local kind cluster (CLUSTER_MODE=auto|pull|build, CLUSTER=kind|current)
	$(BIN)/python hack/cluster.py up

deploy: $(READY) ## Put images and operator on the cluster
	$(BIN)/python hack/deploy.py

cluster-down: $(READY) ## Remove the cluster and all it made on this machine but the caches
	$(BIN)/python hack/cluster.py down

help: ## List this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): $(LOCKS) $(NATIVE) pyproject.toml hack/torch_wheel.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "error: python3.11 is needed, and $(PYTHON) is another version. Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "environment: installing locked packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/torch.txt
	@$(BIN)/python hack/torch_wheel.py install
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/compiler.txt
	@$(BIN)/python server/llmi_server/kernels/compile.py
	@touch $@

.PHONY: bench bench-peers bench-kernels bench-json bench-onnx bench-overload bench-operator bench-scaling bench-engines demo demo-observability serve init check format generate golden lock test test-fast test-observability test-apiserver test-faults test-telemetry test-engines test-cluster soak images cluster deploy cluster-down help
