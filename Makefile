# Everything runs in an environment of its own, $(VENV), made on first use from pyproject.toml.
# A fresh Debian needs no more than git, make and Python 3.11 for it.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo test zoo lint types check clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo    prune the small model that ships with the package, show before and after, check it, write a page'
	@echo 'make test    run all tests; PYTEST_ARGS="-m not\ slow" leaves out the long ones'
	@echo 'make zoo     fetch the third-party models that some long tests run on'
	@echo 'make lint    ruff, and the order of the layers'
	@echo 'make types   mypy'
	@echo 'make check   tests, lint and types'
	@echo 'make clean   remove $(VENV) and the caches'

demo: $(VENV)/installed
	@mkdir -p build
	$(BIN)/onnxprune demo --page build/demo.html

test: $(VENV)/developing
	$(BIN)/pytest -n 2 --dist worksteal $(PYTEST_ARGS)

zoo: $(VENV)/installed
	$(BIN)/python benchmarks/zoo.py fetch --kind model --to .zoo

lint: $(VENV)/developing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(VENV)/developing
	$(BIN)/mypy

check: test lint types

clean:
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# Debian keeps ensurepip in a package that may be missing. Then pip comes from an installed one, or
# from Debian's package of its wheel, fetched with package lists of our own: that needs no root.
define make_environment
set -e
debian_pip() {
  mkdir -p $(VENV)/apt/lists/partial $(VENV)/apt/archives/partial && cd $(VENV)/apt &&
  set -- -qq -o APT::Sandbox::User= -o Dir::State::Lists="$$PWD/lists" -o Dir::Cache="$$PWD" &&
  apt-get "$$@" update && apt-get "$$@" download python3-pip-whl &&
  dpkg-deb --extract python3-pip-whl_*.deb . && set -- usr/share/python-wheels/pip-*.whl &&
  ../bin/python "$$1/pip" install --quiet --no-warn-script-location pip && cd .. && rm -rf apt
}
fail() { echo "$$1" >&2; exit 1; }
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail 'onnxprune needs Python 3.11 or newer: name one with make PYTHON=...'
if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then
  $(PYTHON) -m venv --clear $(VENV)
else
  $(PYTHON) -m venv --clear --without-pip $(VENV)
  if $(PYTHON) -m pip --version >/dev/null 2>&1; then
    $(PYTHON) -m pip --python $(BIN)/python install --quiet pip
  else
    debian_pip || fail 'This Python cannot install pip: apt install python3-venv, then try again.'
  fi
fi
endef
export make_environment

$(VENV)/created:
	@echo 'making $(VENV)'
	@sh -c "$$make_environment"
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml
	@echo 'installing onnxprune and what it needs'
	@$(PIP) install --editable '.[cpu]'
	@touch $@

$(VENV)/developing: $(VENV)/installed pyproject.toml $(PLUGINS)
	@echo 'installing the test and development tools, and the plug-ins'
	@$(PIP) install --group dev
	@$(PIP) install $(addprefix --editable ./,$(dir $(PLUGINS)))
	@touch $@
