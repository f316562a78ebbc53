# make demo     the demo shop on http://127.0.0.1:5000 (PORT=8000 for another port)
# make demo-gunicorn   the same, served by two worker processes
# make test     everything that must hold: lint, types, docs, tests on each Python there is
# make system   what of Debian's the tests need: a browser (part of `make test`; as root)
# make bench    the table of speeds
# make format   put the code in shape
# make docs     the documentation, in docs/_build/html
# make clean    remove what these made
#
# ARGS=... is passed to pytest: make pytest ARGS="tests/core -x"

VERSIONS ?= 3.11 3.12 3.13
VENV     ?= .venv
PORT     ?= 5000
WORKERS  ?= 2

# The first that runs and is new enough; a version manager's shim may exist and still not run.
PYTHON   ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python, \
              $(call runs,$(name),sys.version_info >= (3, 11))))

runs     = $(shell $(1) -c 'import sys, venv, ensurepip; sys.exit(not ($(2)))' \
              >/dev/null 2>&1 </dev/null && echo $(1))
version  = sys.version_info[:2] == ($(subst .,$(comma) ,$(1)))
find     = $(firstword $(foreach path,$(wildcard $(PYENV)/versions/$(1).*/bin/python) python$(1), \
              $(call runs,$(path),$(version))))
PYENV    = $(or $(PYENV_ROOT),$(HOME)/.pyenv)
comma   := ,

BIN      = $(VENV)/bin
INSTALL  = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST   = $(BIN)/pytest -q -n $(WORKERS) --dist loadfile $(ARGS)
# Debian's, for the tests that look at the shop in a browser.
SYSTEM   = chromium chromium-headless-shell fonts-dejavu-core
# pyright asks the first python on PATH where packages are.
PYRIGHT  = PATH="$(abspath $(BIN)):$$PATH" PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

.PHONY: demo demo-gunicorn test system lint types docs pytest bench format clean

demo: $(VENV)/.demo
	@$(BIN)/python -m demo_app http://127.0.0.1:$(PORT)
	$(BIN)/flask --app demo_app run --host 127.0.0.1 --port $(PORT)

demo-gunicorn: $(VENV)/.demo
	@$(BIN)/python -m demo_app http://127.0.0.1:$(PORT)
	$(BIN)/gunicorn --preload --workers 2 --threads 8 --no-control-socket \
	    --bind 127.0.0.1:$(PORT) 'demo_app:create_app()'

test: system lint types docs pytest $(VERSIONS:%=pytest-%)

# Only what is missing, and only where that may be installed; tests say themselves what they lack.
system:
	@missing=; for package in $(SYSTEM); do \
	    dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || \
	        missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    export DEBIAN_FRONTEND=noninteractive; \
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; } \
	        >/dev/null </dev/null && exit 0; \
	fi; \
	echo "Not installed:$$missing. Without a Chromium the tests in tests/browser are skipped."

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(PYRIGHT)
	$(PYRIGHT) --verifytypes flask_state --ignoreexternal

# Always from nothing: a page that didn't change would keep its warning to itself.
docs: $(VENV)/.dev
	$(BIN)/sphinx-build -E -W --keep-going -q -b html docs docs/_build/html

pytest: $(VENV)/.dev
	$(PYTEST)

# The other Pythons: same tests in an environment of their own, without the slow ones.
pytest-3.%: $(VENV)/.dev
	@if $(BIN)/python -c 'import sys; sys.exit(not ($(call version,3.$*)))'; then \
	    echo "Python 3.$*: tested above"; \
	elif [ -z "$(call find,3.$*)" ]; then \
	    echo "Python 3.$*: not found here, not tested"; \
	else \
	    echo "Python 3.$*: $(call find,3.$*)"; \
	    $(MAKE) --no-print-directory other VENV=$(VENV)/3.$* PYTHON=$(call find,3.$*); \
	fi

.PHONY: other
other: $(VENV)/.test
	$(PYTEST) -m "not torture and not browser"

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks $(ARGS)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix-only --exit-zero --quiet .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) docs/_build dist test-results .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Environments. Each stamp is one way to install; the dev environment can also serve the demo.
$(VENV)/.pip:
	@[ -n "$(PYTHON)" ] || { echo "flask_state needs Python 3.11 or later, with venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	touch $@

$(VENV)/.demo: pyproject.toml constraints.txt $(VENV)/.pip
	$(INSTALL) -e . --group demo
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt $(VENV)/.pip
	$(INSTALL) -e . --group test
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.pip
	$(INSTALL) -e . --group dev
	touch $@ $(VENV)/.demo
