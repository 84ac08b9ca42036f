# FineTuneFlow. Everything below needs Linux on x86-64, Python 3.11, gcc and make; the rest is set up on first use.

PYTHON ?= python3.11
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PROTOS := $(shell find protos/finetuneflow -name '*.proto')

# Two OpenMP processes that spin for each other's cores are many times slower than two that sleep.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 0
# Nothing here asks a model hub.
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help setup demo kind-up kind-demo kind-down test test-model test-wheels
.PHONY: bed bed-shell test-cluster test-faults bench clients docs ci ci-cluster lint format gen wheels lock clean distclean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## Run the whole flow on samples/: documents in, fine-tuned model out. About ten minutes on 2 cores.
	$(BIN)/python samples/demo.py

# What trains or starts all services has the machine to itself; the others mostly wait, two beside each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -m "not model and not packaging and not cluster"
ALONE := tests/pipeline tests/trainer

test: setup ## Run the tests: unit, service, contract, pipeline, trainer.
	$(PYTEST) $(ALONE)
	$(PYTEST) $(ALONE:%=--ignore %) --numprocesses 2 --dist loadfile

test-model: setup .venv/.formats ## Run the tests that need the real 135M model: each method and format. About 20 minutes on 2 cores.
	OMP_NUM_THREADS=1 $(BIN)/pytest -m model --numprocesses 2 --dist loadfile

test-wheels: wheels ## Install each wheel alone in a fresh environment and try it.
	$(BIN)/pytest -m packaging

# Everything of a cluster happens in namespaces of its own, where nothing is reached and from which nothing is left.
TESTS ?= tests/unit/deploy tests/cluster tests/contract tests/pipeline
ENTER := OMP_NUM_THREADS=1 $(BIN)/python tests/cluster/enter.py
BED := $(ENTER) $(BIN)/pytest --durations=20 --durations-min=5

bed: setup ## Build what the cluster's tests run on: a Kubernetes control plane and servers. Needs Go; kept outside the clone.
	$(BIN)/python tests/cluster/build.py

bed-shell: bed ## Install the chart into a control plane of its own, without Docker, and leave a shell there: ftf, helm.
	$(ENTER) $(BIN)/python -m tests.cluster.shell

# The tests have no network, so what the contract's other languages need is fetched before; what cannot be is left out.
test-cluster: bed ## Run the tests on a real Kubernetes control plane. TESTS= names some of them.
	-$(BIN)/python clients/stubs.py --missing
	$(BED) -m cluster $(TESTS)

test-faults: bed ## Run the tests of faults with outages of a minute instead of ten seconds.
	FTF_FAULT_SECONDS=60 $(BED) -m "cluster and faults" --timeout 1800 $(TESTS)

BENCHES ?= startup server memory step_overhead packed first_step exports estimates extraction extractors chunking dedup generation capacity dataset_pages transfers
bench: setup .venv/.peers ## Measure starts, memory, reading, cutting, duplicates, generation, imports, a training step. BENCHES= names some.
	for bench in $(BENCHES); do echo "# $$bench"; $(BIN)/python -m tests.bench.$$bench; done

clients: setup ## Generate and compile the contract's code in Go and TypeScript, each where its tool is. See docs/languages.md.
	$(BIN)/python clients/stubs.py

docs: setup .venv/.docs ## Build the site of docs/ into build/docs, the reference made of the contract, every link checked.
	rm -rf docs/reference build/docs
	mkdir -p build
	PATH="$$PWD/$(BIN):$$PATH" buf build --as-file-descriptor-set -o build/contract.binpb
	$(BIN)/python docs/reference.py build/contract.binpb docs/reference
	$(BIN)/zensical build --strict

lint: setup ## Check style, types, imports and the contract.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	PATH="$$PWD/$(BIN):$$PATH" buf lint
	PATH="$$PWD/$(BIN):$$PATH" buf format --diff --exit-code > /dev/null

format: setup ## Put the code and the contract into form.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	PATH="$$PWD/$(BIN):$$PATH" buf format --write

# make stops at the first line that fails; the tests come last, so that pytest's own last line is the last printed.
PART = @begun=$$SECONDS; $(MAKE) --no-print-directory $(1); echo "make $(1): $$((SECONDS - begun)) s"

ci: ## What has to pass: from a clean state, everything the README calls.
	$(call PART,clean)
	$(call PART,lint)
	$(call PART,docs)
	$(call PART,demo)
	$(call PART,test-wheels)
	$(call PART,ci-cluster)
	@$(MAKE) --no-print-directory test

ci-cluster: # The cluster's tests, where there is Go to build it with.
	@if command -v go > /dev/null; then $(MAKE) --no-print-directory test-cluster; \
	else echo "Left out: make test-cluster, since there is no Go here."; fi

setup: .venv/.installed protos/gen/.generated ## Set everything up.
gen: protos/gen/.generated ## Generate the Python code of the contract.

.venv/.locked: requirements/dev.txt requirements/torch.txt
	@echo "Setting up .venv: a few minutes on first use."
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/dev.txt
	$(PIP) install --quiet -r requirements/torch.txt
	$(PIP) check
	touch $@

# What the figures are measured beside.
.venv/.peers: .venv/.locked requirements/bench.txt
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/bench.txt
	touch $@

# The extras awq and onnx, whose tests the others do without.
.venv/.formats: .venv/.locked requirements/formats.txt
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/formats.txt
	touch $@

.venv/.docs: .venv/.locked requirements/docs.txt
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/docs.txt
	touch $@

# Editable, so that the programs and `ftf` run from this folder. Nothing is fetched: hatchling is in the lock.
.venv/.installed: .venv/.locked pyproject.toml clients/python/pyproject.toml
	$(PIP) install --quiet --no-deps --no-build-isolation --editable clients/python --editable .
	touch $@

# The generator has an environment of its own: it is older than the runtimes, so that its code runs with all of them.
.gen/.installed: requirements/gen.txt
	$(PYTHON) -m venv .gen
	.gen/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r $<
	mkdir -p .gen/include/google/rpc
	cp .gen/lib/python3.11/site-packages/google/rpc/*.proto .gen/include/google/rpc/
	touch $@

protos/gen/.generated: .gen/.installed protos/generate.py $(PROTOS)
	PATH="$$PWD/.gen/bin:$$PATH" .gen/bin/python protos/generate.py protos/gen --stubs
	touch $@

wheels: setup ## Build the sdists and wheels of finetuneflow and finetuneflow-client into dist/.
	rm -rf dist
	for project in clients/python .; do (cd $$project && $(CURDIR)/$(BIN)/python -m hatchling build -t sdist -d $(CURDIR)/dist); done
	$(PIP) wheel --quiet --no-deps --wheel-dir dist dist/*.tar.gz

# Versions of parts that torch brings are left to torch, see requirements/torch.txt.
UNLOCKED := finetuneflow-client torch triton cuda-bindings cuda-pathfinder cuda-toolkit setuptools nvidia-cublas \
	nvidia-cuda-cccl nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand \
	nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx
UV := .cache/uv/bin/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	--generate-hashes --no-header --no-annotate

# dev.txt is without the extras awq and onnx, which would put what they bring into everybody's environment.
lock: ## Choose and pin the newest versions that pyproject.toml and requirements/gen.in allow.
	$(PYTHON) -m venv .cache/uv
	.cache/uv/bin/python -m pip --disable-pip-version-check install --quiet uv==0.13.9
	$(UV) --upgrade pyproject.toml --extra local --extra cluster --extra trainer --group dev $(UNLOCKED:%=--no-emit-package %) -o requirements/dev.txt
	$(UV) -c requirements/dev.txt --group bench $(UNLOCKED:%=--no-emit-package %) -o requirements/bench.txt
	$(UV) -c requirements/dev.txt pyproject.toml --extra awq --extra onnx $(UNLOCKED:%=--no-emit-package %) -o requirements/formats.txt
	$(UV) -c requirements/dev.txt --group docs -o requirements/docs.txt
	$(UV) --upgrade requirements/gen.in -o requirements/gen.txt
	$(UV) --upgrade requirements/build.in -o requirements/build.txt
	$(UV) -c requirements/dev.txt pyproject.toml requirements/services.in --extra cluster $(UNLOCKED:%=--no-emit-package %) -o requirements/services.txt
	$(UV) -c requirements/dev.txt pyproject.toml --extra cluster --extra trainer $(UNLOCKED:%=--no-emit-package %) -o requirements/trainer.txt

kind-up: ## Make a cluster with kind, with made-up GPUs, and install everything into it. Needs docker, kind, kubectl, helm.
	deploy/kind/up
kind-demo: setup ## Run the whole flow on the cluster of kind-up.
	deploy/kind/demo $(BIN)
kind-down: ## Remove the cluster of kind-up.
	deploy/kind/down

clean: ## Remove what was built, generated or left by a demo; environments and the model stay.
	rm -rf dist build docs/reference .demo protos/gen .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -path ./.gen -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

distclean: clean ## Remove the environments and the model too.
	rm -rf .venv .gen .cache
