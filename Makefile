# Every target makes what it needs first: see .ci/bootstrap.sh.
# PYTHON=python3.12 VENV=.venv312 choose another interpreter; ARGS goes to pytest.
# SQLALCHEMY='<2.1' VENV=.venv20 choose another SQLAlchemy.
PYTHON ?=
VENV ?= .venv
SQLALCHEMY ?=
export PYTHON VENV SQLALCHEMY
run := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test faults matrix slice engines hazards suites lint types sanitize fuzz soak audit bench docs site api wheel check clean ready-test ready-dev ready-browser ready-fuzz

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

demo: ready-test ## a cluster that loses its leader, in under a minute (KEEP=1: keep it running)
	@$(run) -m dqlite_node demo $(if $(KEEP),--keep)

test: ready-test ready-browser ## every test, against clusters of the installed engine (two files at a time)
	@$(run) -m pytest $(if $(ARGS),$(ARGS),--numprocesses 2 --dist loadfile)

faults: ready-test ## long trials on clusters that lose and freeze members (not part of test)
	@$(run) -m pytest $(if $(findstring tests/,$(ARGS)),,tests/faults) -s -p no:randomly $(ARGS)

matrix: ready-test engines ## each workload under each fault, judged (ARGS="--seconds 10 --lanes 2")
	@$(run) -m tests.faults.matrix $(ARGS)

slice: ready-test engines ## minutes of the matrix: each fault once, each workload several times
	@$(run) -m tests.faults.matrix --slice --lanes 2 $(ARGS)

engines: ## libdqlite of later Debian suites, unpacked into .engines without installing
	@sh .ci/engines.sh

hazards: ready-test engines ## what hurts servers, tried on every engine at hand
	@$(run) -m pytest tests/hazards --engine all $(ARGS)

suites: ready-test ## SQLAlchemy's and Alembic's own suites on a live member, beside SQLite (half an hour)
	@$(run) tests/suites/run.py $(ARGS)

lint: ready-dev ## ruff: rules and format
	@$(run) -m ruff check .
	@$(run) -m ruff format --check .

types: ready-dev ## mypy, strict
	@$(run) -m mypy

sanitize: ready-test ## the C codec's tests under the address and undefined sanitizers
	@sh .ci/sanitize.sh $(ARGS)

fuzz: ready-fuzz ## decoders, gate, options and classifier, MINUTES=10 each (ARGS=rows: one of them)
	@$(run) -m tests.fuzz.run --minutes $(or $(MINUTES),10) $(ARGS)

soak: ready-test ## MINUTES=30 of churn: memory, descriptors, threads and latency must stay flat
	@$(run) -m tests.soak.run --minutes $(or $(MINUTES),30) $(ARGS)

audit: ready-dev ## known vulnerabilities in what is installed here (asks the network)
	@$(run) -m pip freeze --exclude-editable | $(run) -m pip_audit --strict --disable-pip --no-deps -r /dev/stdin

bench: ready-test ## floor, peers and the driver, measured in turns (ARGS=--quick: a minute)
	@$(run) benchmarks/run.py $(ARGS)

docs: ready-test ## run the code in README.md and docs/
	@$(run) -m pytest tests/test_docs.py

site: ready-site ## the documentation as web pages, in build/site; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(run) -m mkdocs build --quiet --strict --config-file docs/site/mkdocs.yml

api: ready-site ## the public API against the newest tag, or the last commit (BASE=REF: against that)
	@$(run) .ci/api.py $(or $(BASE),$(shell git describe --tags --abbrev=0 2>/dev/null || echo HEAD))

wheel: ready-test ## a self-contained wheel in dist/, made and tried in Debian roots (as root, minutes)
	@sh .ci/wheel.sh

check: lint types test ## lint, types and tests

clean: ## remove what the other targets made
	rm -rf .venv* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find dqlite_dbapi native -name '*.so' -delete

ready-test:
	@sh .ci/bootstrap.sh test

ready-dev:
	@sh .ci/bootstrap.sh dev

ready-fuzz:
	@sh .ci/bootstrap.sh fuzz

ready-site: ready-test
	@sh .ci/bootstrap.sh site

ready-browser:
	@sh .ci/bootstrap.sh browser
