# Everything runs from .venv, which `make install` builds; see BUILD.md.

SHELL := bash

# A Python from 3.11 to 3.13. To insist on one: make install PYTHON=python3.12
PYTHON ?= python3
# The lock is resolved on the oldest supported Python, so that it fits them all.
LOCK_PYTHON ?= python3.11
TEST_WORKERS ?= 2
PYTEST_FLAGS ?=
RANDOM_EXAMPLES ?= 500
RANDOM_SEED ?= $(shell echo $$RANDOM)
DEMO_FLAGS ?= --dataset=digits --model=resnet20 --width=0.5 --batch_size=64 --teacher_epochs=60 \
    --epochs=25 --recover_epochs=15 --learning_rate=0.1 --prune_learning_rate=0.05 \
    --output_dir=runs/demo
# Masks and teacher as when docs/study and docs/cifar10_vgg16.json were begun.
AS_BEGUN := --nohard_masks --nofreeze_teacher --noanneal_teacher
CIFAR10_FLAGS ?= $(AS_BEGUN) --dataset=cifar10 --model=vgg16 --width=0.25 --max_train_examples=5000 \
    --teacher_epochs=40 --epochs=12 --recover_epochs=8 --learning_rate=0.1 --prune_learning_rate=0.02

PRESET ?= cpu
EXPERIMENTS ?=
RESULTS_DIR ?= results
# A quarter of an image's pixels and a sixth of the images: what two cores can do in some hours.
STUDY_DIR ?= docs/study
STUDY_SEEDS ?= 0,1,2
STUDY_FLAGS ?= $(AS_BEGUN) --models=resnet20@0.5,mobilenet_v2@0.25,densenet40@0.34,efficientnet_b0@0.15 \
    --datasets=cifar10 --amounts=0.6 --max_train_examples=4000 --image_size=16 --batch_size=64 \
    --teacher_epochs=16 --epochs=3 --recover_epochs=1 --min_channels=2 \
    --methods=teacher,dense,distillation,weight_pruning,weight_pruning_distilled,channel_pruning,channel_pruning_distilled,cascade_0,cascade_1,cascade_2,cascade_3
# Without two assistants: tracing the levels takes most of the time on such small images.
COMPARE_FLAGS ?= --models=vgg16@0.125 --datasets=digits --amounts=0.75 --seeds=0,1 --batch_size=64 \
    --teacher_epochs=25 --epochs=7 --recover_epochs=2 --learning_rate=0.05 --prune_learning_rate=0.02 \
    --methods=teacher,dense,distillation,weight_pruning,weight_pruning_distilled,channel_pruning,channel_pruning_distilled,cascade_0,cascade_1,cascade_3 \
    --min_channels=2 --output_dir=runs/compare

ifeq ($(origin PYTHON),file)
PYTHONS := "$(PYTHON)" python3.13 python3.12 python3.11
else
PYTHONS := "$(PYTHON)"
endif

BIN := .venv/bin
STAMP := .venv/installed
BACKENDS_STAMP := .venv/backends_installed
# Where PyTorch is built for the CPU alone; what PyPI has for Linux brings gigabytes of CUDA.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# Quiet start-up for TensorFlow, gRPC and pip.
export TF_CPP_MIN_LOG_LEVEL := 3
export GRPC_VERBOSITY := ERROR
export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install test test-slow test-backends test-oldest test-package test-random test-zoo package chaos demo demo-seeds compare cifar10-subset study experiments results bench docs notebooks pictures lint format lock clean FORCE

help:
	@echo 'make install  build .venv with the package and all that development needs'
	@echo 'make test     run the tests (PYTEST_FLAGS="-k graph" narrows them)'
	@echo 'make test-slow'
	@echo '              run the tests that go over more families, methods and architectures'
	@echo 'make test-backends'
	@echo '              run the tests of the core with Keras on JAX and on PyTorch (installs both)'
	@echo 'make test-oldest'
	@echo '              run the tests of the core with the oldest Keras, TensorFlow and NumPy supported'
	@echo 'make package  build the wheel and the source distribution into dist'
	@echo 'make test-package'
	@echo '              install each into an empty environment and run it there (minutes)'
	@echo 'make test-zoo cut and verify every model of keras.applications; writes docs/coverage.md'
	@echo 'make test-random'
	@echo '              cut many random models, from a new seed each time (minutes)'
	@echo 'make chaos    kill runs, give wrong inputs, compare replicas and backends; writes'
	@echo '              docs/reliability.md (ten minutes)'
	@echo 'make demo     train a small cascade; the results go to runs/demo'
	@echo 'make compare  weight pruning, channel pruning and cascades compared on digits; the report'
	@echo '              goes to runs/compare (some seven minutes)'
	@echo 'make demo-seeds, make cifar10-subset, make study, make bench'
	@echo '              measure what README.md and docs/ show (minutes to hours)'
	@echo 'make experiments PRESET=cpu DATA_DIR=...'
	@echo '              run experiments/ into results (cpu: hours; full: a GPU); what is there goes on,'
	@echo '              with BACKUP_EVERY=1000 (steps) also in the middle of a training'
	@echo 'make results  write tables and plots of docs/results/*.jsonl into docs/results.md'
	@echo 'make docs     build the documentation site into site/, without a network'
	@echo 'make notebooks, make pictures'
	@echo '              run the notebooks of the site in place; draw its pictures (minutes)'
	@echo 'make lint     check style and formatting'
	@echo 'make format   fix formatting, and what else can be fixed by itself'
	@echo 'make lock     write constraints.txt anew, with the newest versions that fit'
	@echo 'make clean    remove .venv and whatever else was built (runs/ stays)'

install: $(STAMP)

# The stamp is written last and holds the path of the checkout. Without it, or
# with another path in it, or with a Python that does not start, .venv is taken
# for unfinished or foreign and is built again from nothing.
VENV_IS_GOOD := $(shell $(BIN)/python -c 'import os; print(open("$(STAMP)").read().strip() == os.getcwd())' 2>/dev/null)
ifneq ($(VENV_IS_GOOD),True)
$(STAMP): FORCE
endif

# Prints "ok", or in words why this Python will not do. Runs on any Python.
define CHECK_PYTHON
import sys
v = sys.version_info[:2]
if not (3, 11) <= v < (3, 14):
    print("is Python %d.%d" % v)
else:
    try:
        import ensurepip, venv
        print("ok")
    except ImportError:
        print("is Python %d.%d but lacks the venv or the ensurepip module" % v)
endef
export CHECK_PYTHON

$(STAMP): setup.cfg pyproject.toml constraints.txt
ifeq ($(VENV_IS_GOOD),True)
	@rm -f $@
else
	@rm -rf .venv
	@tried=; \
	for python in $(PYTHONS); do \
	    says=$$("$$python" -c "$$CHECK_PYTHON" 2>/dev/null) || says='is not installed, or does not start'; \
	    if [ "$$says" = ok ]; then "$$python" -m venv .venv && exit 0; says='could not make a virtual environment'; fi; \
	    tried="$$tried  $$python $$says"$$'\n'; \
	done; \
	{ \
	    echo 'make install needs Python 3.11, 3.12 or 3.13 with its venv and ensurepip modules.'; \
	    echo 'Looked at:'; \
	    printf '%s' "$$tried"; \
	    echo 'Install one, for example'; \
	    echo '  Debian, Ubuntu: apt-get install python3 python3-venv (or python3.X-venv)'; \
	    echo '  Fedora:         dnf install python3.13'; \
	    echo '  macOS:          brew install python@3.13'; \
	    echo 'or name one:      make install PYTHON=/path/to/python3.13'; \
	} >&2; \
	exit 1
endif
	@echo 'Installing into .venv (TensorFlow is large; this can take some minutes) ...'
	@$(BIN)/python -m pip install --quiet -e '.[dev]' -c constraints.txt
	@$(BIN)/python -m pip check
	@pwd -P > $@

test: install
	@echo 'Left out: tests marked slow, which go over more families, methods and architectures'
	@echo '(make test-slow).'
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal -m 'not slow' $(PYTEST_FLAGS)

test-slow: install
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal -m slow $(PYTEST_FLAGS)

# Where the core meets a backend. Counting, scoring and ranking are NumPy's, or do on TensorFlow what
# they do elsewhere.
BACKEND_TESTS ?= tests/graph/test_rules.py tests/graph/test_tracing.py tests/graph/test_nesting.py \
    tests/surgery tests/saliency/test_gates.py tests/saliency/test_taylor.py tests/cascade \
    tests/recipe tests/profile/test_model_profile.py tests/deploy

$(BACKENDS_STAMP): $(STAMP)
	@echo 'Installing JAX and PyTorch into .venv ...'
	@$(BIN)/python -m pip install --quiet -e '.[dev,backends]' -c constraints.txt \
	    --extra-index-url "$(TORCH_INDEX)" --retries 1
	@$(BIN)/python -m pip check
	@touch $@

# One thread each: the workers share the processors. XLA's optimizations take longer than they save.
test-backends: $(BACKENDS_STAMP)
	@for backend in jax torch; do \
	    echo "Keras on $$backend"; \
	    KERAS_BACKEND=$$backend JAX_DISABLE_MOST_OPTIMIZATIONS=1 OMP_NUM_THREADS=1 \
	        $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal -m 'not slow' \
	        $(BACKEND_TESTS) $(PYTEST_FLAGS) || exit; \
	done
	@echo 'The same cascade on all three'
	@$(BIN)/python -m pytest tests/cascade/test_backends.py $(PYTEST_FLAGS)

# The floors of setup.cfg are the versions: "keras>=3.12" there is keras==3.12 here.
OLDEST := .venv-oldest
OLDEST_STAMP := $(OLDEST)/installed
OLDEST_TESTS ?= tests/graph/test_rules.py tests/graph/test_tracing.py tests/graph/test_nesting.py \
    tests/surgery tests/saliency tests/cascade/test_cascade_distiller.py \
    tests/cascade/test_step.py tests/profile tests/deploy tests/cli

$(OLDEST_STAMP): setup.cfg $(STAMP)
	@rm -rf $(OLDEST)
	@$(BIN)/python -m venv $(OLDEST)
	@sed -n '/^install_requires/,/^$$/ s/>=/==/p' setup.cfg > $(OLDEST)/floors.txt
	@echo 'Installing the oldest versions into $(OLDEST) ...'
	@$(OLDEST)/bin/python -m pip install --quiet -e '.[litert,report]' hypothesis pytest pytest-xdist \
	    -c $(OLDEST)/floors.txt
	@$(OLDEST)/bin/python -m pip check
	@touch $@

test-oldest: $(OLDEST_STAMP)
	@echo 'With the oldest versions:' $$(cat $(OLDEST)/floors.txt)
	@$(OLDEST)/bin/python -m pytest -n $(TEST_WORKERS) --dist worksteal -m 'not slow' \
	    $(OLDEST_TESTS) $(PYTEST_FLAGS)

# The wheel is built from the source distribution, which so is known to hold all that it needs.
package: install
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist .

# Installs TensorFlow twice.
test-package: package
	@$(BIN)/python -m pytest tests/packaging/installed.py $(PYTEST_FLAGS)

# Goes on where it was broken off. ZOO_FLAGS="--models=VGG16,ResNet50" narrows it.
ZOO_FLAGS ?=

test-zoo: install
	@$(BIN)/python tests/zoo/sweep.py --output=docs/coverage $(ZOO_FLAGS)

# CHAOS_FLAGS="--kills=100 --seed=1" tries more, and others.
CHAOS_FLAGS ?=

chaos: install
	@$(BIN)/python tests/chaos/measure.py --output=docs/reliability $(CHAOS_FLAGS)

test-random: RANDOM_SEED := $(RANDOM_SEED)
test-random: install
	@echo 'To repeat: make test-random RANDOM_SEED=$(RANDOM_SEED) RANDOM_EXAMPLES=$(RANDOM_EXAMPLES)'
	@RANDOM_SEED=$(RANDOM_SEED) RANDOM_EXAMPLES=$(RANDOM_EXAMPLES) \
	    $(BIN)/python -m pytest -n $(TEST_WORKERS) tests/graph/test_random_graphs.py $(PYTEST_FLAGS)

demo: install
	@$(BIN)/python examples/train_cascade.py $(DEMO_FLAGS)

compare: install
	@$(BIN)/python examples/compare_pruning.py $(COMPARE_FLAGS)

# The tables and plots in README.md and docs/ come from these.
SEEDS ?= 0 1 2

demo-seeds: install
	@for seed in $(SEEDS); do \
	    $(BIN)/python examples/train_cascade.py $(DEMO_FLAGS) --seed=$$seed \
	        --output_dir=runs/demo_$$seed || exit; \
	done
	@$(BIN)/python examples/summarise_runs.py --runs=$$(echo $(SEEDS:%=runs/demo_%) | tr ' ' ,) \
	    --output=docs/demo --insert_into=README.md,docs/results.md --section=demo

DATA_DIR ?= $(HOME)/tensorflow_datasets

cifar10-subset: install
	@for seed in $(SEEDS); do \
	    $(BIN)/python examples/train_cascade.py $(CIFAR10_FLAGS) --data_dir="$(DATA_DIR)" \
	        --seed=$$seed --output_dir=runs/cifar10_vgg16_$$seed || exit; \
	done
	@$(BIN)/python examples/summarise_runs.py \
	    --runs=$$(echo $(SEEDS:%=runs/cifar10_vgg16_%) | tr ' ' ,) \
	    --output=docs/cifar10_vgg16 --insert_into=docs/results.md --section=cifar10_vgg16

# Goes on where it was. Two of them, with other STUDY_SEEDS each, may share the folder.
study: install
	@$(BIN)/python examples/compare_pruning.py $(STUDY_FLAGS) --seeds=$(STUDY_SEEDS) \
	    --data_dir="$(DATA_DIR)" --output_dir="$(STUDY_DIR)" --insert_into=docs/study.md

experiments: install
	@$(BIN)/python experiments/run.py --preset=$(PRESET) --output_dir=$(RESULTS_DIR) \
	    $(if $(EXPERIMENTS),--experiments=$(EXPERIMENTS)) $(if $(DATA_DIR),--data_dir="$(DATA_DIR)") \
	    $(if $(DECODED),--decoded="$(DECODED)") $(if $(BACKUP_EVERY),--backup_every=$(BACKUP_EVERY))

FROM ?= docs/results

results: install
	@$(BIN)/python experiments/page.py --results_dir="$(FROM)" --page=docs/results.md

bench: install
	@$(BIN)/python benchmarks/training.py --models=resnet20 --rounds=2 --steps=4 \
	    --output=benchmarks/training_resnet20.json
	@$(BIN)/python benchmarks/training.py --models=vgg16 --rounds=2 --steps=1 \
	    --output=benchmarks/training_vgg16.json
	@$(BIN)/python benchmarks/training_page.py benchmarks/training_*.json
	@for model in VGG16 ResNet50 MobileNetV2 EfficientNetB0; do \
	    $(BIN)/python benchmarks/latency.py --models=$$model \
	        --output=benchmarks/latency_$$model.json || exit; \
	done
	@$(BIN)/python benchmarks/layer_latency.py --output=benchmarks/layer_latency.json
	@$(BIN)/python benchmarks/latency_page.py benchmarks/latency_*.json benchmarks/layer_latency.json
	@$(BIN)/python benchmarks/surgeon.py --output=benchmarks/surgeon.json
	@$(BIN)/python benchmarks/short_epochs.py --output=benchmarks/short_epochs.json

# Nothing is fetched; the notebooks are shown as they are, with the outputs they have.
docs: install
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@$(BIN)/python docs/check_site.py site

notebooks: install
	@$(BIN)/python -m jupyter nbconvert --to notebook --execute --inplace --log-level=ERROR \
	    --ExecutePreprocessor.record_timing=False docs/notebooks/*.ipynb

pictures: install
	@$(BIN)/python docs/draw_pictures.py --output_dir=docs/pictures

lint: install
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy

format: install
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

define LOCK_HEADER
# Exact versions of everything that `make install` installs, and of the tfmot
# and backends extras. Tested on Python 3.11, 3.12 and 3.13.
# Written by `make lock`, which resolves setup.cfg afresh on Python 3.11 (what
# fits the oldest Python fits the newer ones). Do not edit by hand.
endef
export LOCK_HEADER

# Apart from .venv, so that a lock that does not install can be mended.
lock:
	@rm -rf .venv-lock
	@[ "$$("$(LOCK_PYTHON)" -c 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.11 ] || { \
	    echo 'make lock needs Python 3.11 with its venv and ensurepip modules, the oldest Python supported.' >&2; \
	    echo 'Name one: make lock LOCK_PYTHON=/path/to/python3.11' >&2; \
	    exit 1; \
	}
	@"$(LOCK_PYTHON)" -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --upgrade pip setuptools
	@.venv-lock/bin/python -m pip install --quiet '.[dev,tfmot,backends]' --extra-index-url "$(TORCH_INDEX)"
	@.venv-lock/bin/python -m pip check
	@{ echo "$$LOCK_HEADER"; .venv-lock/bin/python -m pip freeze --all --exclude pip --exclude keras_cascade | sed 's/+cpu$$//'; } > .venv-lock/constraints.txt
	@mv .venv-lock/constraints.txt constraints.txt
	@rm -rf .venv-lock build

clean:
	rm -rf .venv .venv-lock $(OLDEST) build dist site *.egg-info .cache .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
