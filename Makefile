# Every target sets up what it needs, also on a fresh clone: `make demo` is a fine first command.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo up test test-page test-celery test-chaos test-live bench check lock clean

help: ## say what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(READY) ## install everything into .venv

demo: $(READY) ## watch a migration run from end to end, in this terminal
	$(BIN)/python -m demo.run $(ARGS)

up: $(READY) ## serve Airflow with the migrations, on an emulator with data
	$(BIN)/python -m demo.up $(ARGS)

test: $(READY) ## run the tests, three at a time; ARGS="-k lease" picks some
	$(BIN)/pytest --numprocesses 3 --dist worksteal $(ARGS)

test-page: $(READY) ## use the page in Chromium on a running Airflow; takes six minutes
	$(BIN)/pytest tests/web $(ARGS)

test-chaos: $(READY) ## kill 200 workers each way, and break everything else for longer; ARGS="--seed 7" draws anew
	$(BIN)/pytest tests/chaos --kills 200 $(ARGS)

test-celery: $(READY) ## run a migration on two Celery workers, kill one of them, and count; takes three minutes
	$(BIN)/pytest tests/celery $(ARGS)

test-live: $(READY) ## go the whole way to production on a running Airflow; takes eight minutes
	$(BIN)/pytest tests/live $(ARGS)

bench: $(READY) ## measure what docs/performance.md claims
	$(BIN)/python -m benchmarks $(ARGS)

check: $(READY) ## lint, format, types, layers, migrations
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest --quiet tests/test_layers.py
	$(BIN)/firestore-migrations check

lock: ## resolve constraints.txt anew, for every Python that pyproject.toml allows (needs uv)
	uv pip compile pyproject.toml --extra celery --extra dev --universal --python-version 3.10 --upgrade \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet --output-file constraints.txt

clean: ## remove all that make made
	rm -rf .venv .airflow .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is newer than what it was made from, or it is made again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "Python 3.10 to 3.13 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@if uv --version >/dev/null 2>&1; then \
		test -x $(BIN)/python || uv venv --quiet --python "$$(command -v $(PYTHON))" .venv; \
		uv pip install --quiet --python $(BIN)/python --editable '.[celery,dev]' --constraint constraints.txt; \
	else \
		$(PYTHON) -m venv .venv && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[celery,dev]' --constraint constraints.txt; \
	fi
	@touch $@
