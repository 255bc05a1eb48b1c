# make demo: three patients of LIDC-IDRI from an embedded stand-in for the archives, killed half-way and resumed
# make test: the tests; make test-long: those that take long
# make bench: medfetch and its peers side by side; WORKLOADS="small tls-small" ROUNDS=5 SCALE=0.1 for a part of it
# make bench-tasks: one dataset by several tasks, and by Dask, from a host that throttles connections
# make rehearsal: every recipe, all parts, against the embedded stand-in for the hosts, as a table
# make cluster: all tests of job arrays and Dask, on a real Slurm of four nodes on this machine, as root
# make soak: mixed datasets against a host full of faults for MINUTES=30; make kills: KILLS=200 over mixed datasets
# make docs: the pages and man pages that come from the code; make site: the documentation as a site, in build/site
# make hosts: two hosts on one cache without locks, HOSTS=50 times
# All make an environment in .venv first; Python 3.11 or later and pip are all they need.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
WORKERS ?= 4
WORKLOADS ?=
ROUNDS ?= 3
SCALE ?= 1
MINUTES ?= 30
KILLS ?= 200
HOSTS ?= 50

.PHONY: demo test test-long rehearsal bench bench-tasks cluster soak kills hosts lint docs site clean

demo: .venv/installed
	@PATH="$(BIN):$$PATH" bash scripts/demo

test: .venv/developed
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

test-long: .venv/developed
	$(BIN)/pytest -n $(WORKERS) -m long

rehearsal: .venv/installed
	@$(BIN)/medfetch recipe rehearse --all --all-parts

bench: .venv/developed
	PYTHONPATH=tests $(BIN)/python -m bench $(WORKLOADS) --rounds $(ROUNDS) --scale $(SCALE)

soak: .venv/developed
	PYTHONPATH=tests $(BIN)/python -m soak --minutes $(MINUTES)

kills: .venv/developed
	PYTHONPATH=tests $(BIN)/python -m soak.kills --kills $(KILLS)

hosts: .venv/developed
	HOSTS_ROUNDS=$(HOSTS) $(BIN)/pytest -m long tests/test_two_hosts.py

bench-tasks: .venv/developed
	PYTHONPATH=tests $(BIN)/python -m bench.tasks --document docs/performance.md

cluster: .venv/developed
	$(BIN)/pytest -s -m "long or not long" tests/cluster tests/test_cluster_script.py tests/test_dask.py

lint: .venv/developed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini

docs: .venv/developed
	$(BIN)/python scripts/command_reference.py > docs/cli.md
	$(BIN)/python scripts/dataset_table.py > docs/datasets.md
	$(BIN)/python scripts/conda_recipe.py > conda/recipe.yaml
	$(BIN)/python scripts/error_reference.py > docs/errors.md
	$(BIN)/python scripts/recipe_reference.py > docs/recipe-reference.md
	$(BIN)/python scripts/source_reference.py > docs/source-reference.md
	$(BIN)/python scripts/man_pages.py man

site: .venv/documented
	$(BIN)/sphinx-build -q -E -W --keep-going -c docs -d build/doctrees . build/site

clean:
	rm -rf .venv build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# pip learnt dependency groups in 25.1.
.venv/made:
	@echo "making an environment in .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -qq --upgrade "pip>=25.1"
	@touch $@

.venv/installed: pyproject.toml | .venv/made
	@echo "installing medfetch into .venv …"
	@$(BIN)/pip install -qq --editable .
	@touch $@

.venv/developed: pyproject.toml | .venv/made
	@echo "installing medfetch and the tools of its developers into .venv …"
	@$(BIN)/pip install -qq --editable . --group dev
	@touch $@ .venv/installed

.venv/documented: pyproject.toml | .venv/installed
	@echo "installing what makes the site into .venv …"
	@$(BIN)/pip install -qq --group docs
	@touch $@
