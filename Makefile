# The two commands to begin with: `make demo` and `make test`. Each target does its own set-up.
.PHONY: demo demo-full-redis test test-compose test-examples lock test-rq check lint types unit kibana gallery pictures reference docs release-check up down soak bench bare clean setup tools

PYTHON := .venv/bin/python
LOCK := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade
# Tests and demo start hundreds of programs: none of them should compile again what the one before has compiled.
unexport PYTHONDONTWRITEBYTECODE

setup:
	@stack/setup.sh servers

tools:
	@stack/setup.sh tools

demo: setup  ## A small shop's jobs, from Redis to the answers. KEEP=1 leaves everything up.
	@$(PYTHON) -m demo $(if $(KEEP),--keep)

demo-full-redis: setup  ## Redis fills up: the alarm, its time left and the function to blame come before the first refusal.
	@$(PYTHON) -m demo.full_redis

up: setup  ## Redis, Elasticsearch, two workers and the shipper, left running.
	@$(PYTHON) -m demo --no-load --keep

down:  ## End what `make up` or `make demo KEEP=1` left running.
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m demo --down; else echo "nothing was up"; fi

test:  ## Everything: lint, types, unit tests, and tests on a real Redis and a real Elasticsearch.
	@stack/setup.sh tests
	@$(MAKE) --no-print-directory lint
	@$(PYTHON) -m tests.everything

test-rq: setup  ## RQ's own test-suite, with the instrumentation loaded.
	@$(PYTHON) -m tests.compat.rq_suite

test-compose: tools  ## docker-compose.yml on a real container engine: kills, restarts, security. SETUP=1 installs one (Debian, root).
	@$(PYTHON) -m pytest -v --tb=short -o log_cli=false tests/engine $(ARGS)

test-examples: setup  ## The examples in README and docs, as they stand, on a real Redis and a real Elasticsearch.
	@$(PYTHON) -m pytest -q --tb=short tests/examples $(ARGS)

lock: tools  ## The versions and hashes of what the image has, compose/*.lock, made anew.
	@$(PYTHON) -m pip install -q uv
	@.venv/bin/uv pip compile -q $(LOCK) pyproject.toml compose/requirements.in -o compose/requirements.lock
	@.venv/bin/uv pip compile -q $(LOCK) compose/build.in -o compose/build.lock

check: lint types unit  ## The inner loop.

lint: tools
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check

types: tools
	@.venv/bin/mypy

unit: tools
	@$(PYTHON) -m pytest -q -n 2 tests/unit

soak: setup  ## Every fault at once, then the accounts. SECONDS=60 SEED=1 FUZZ_SECONDS=600
	@$(PYTHON) -m tests.soak $(or $(SECONDS),60) $(SEED)
	@$(PYTHON) -m tests.storm
	@THOROUGH=1 $(PYTHON) -m pytest -q tests/model
	@$(PYTHON) -m tests.fuzz $(or $(FUZZ_SECONDS),600)

kibana: tools  ## Build what Kibana imports from kibana/. FROM=export.ndjson takes back what was changed in Kibana.
	@$(PYTHON) -m kibana $(FROM)

gallery: tools  ## Pictures of Kibana's pages on the known day, in docs/pictures/kibana. With KIBANA_URL and ELASTICSEARCH_URL.
	@$(PYTHON) -m tests.gallery

pictures: setup  ## The pictures in README and docs, docs/pictures, made anew.
	@$(PYTHON) -m pictures

reference: tools  ## The pages of docs/reference, made from the code.
	@$(PYTHON) -m tests.settings_tables
	@$(PYTHON) -m reference

docs: tools  ## The docs site, in .run/site: every warning is an error.
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet --site-dir .run/site

release-check: setup  ## All that can be known of a release before it is published. What would be published is left in dist/.
	@$(PYTHON) -m release

bench: setup  ## Each benchmark prints its figure beside what it is compared with.
	@$(PYTHON) -m benchmarks

bare:  ## README's two commands on bare Debian 12 and 13, as root and as a user with sudo. Needs root and debootstrap.
	@stack/bare.sh $(SUITES)

clean: down  ## Remove the virtual environment, caches and runs. Downloads stay, so that the next set-up is quick.
	rm -rf .venv .venv-oldest .run .pytest_cache .mypy_cache .ruff_cache .hypothesis
