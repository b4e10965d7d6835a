# Two commands are enough: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
CANDIDATES := $(PYTHON) python3.13 python3.12 python3.14 python3 python
WORKERS ?= 2
ROWS ?= B1 B2 B3 B4 B5 B6 B7 B8
PEERS := numpy scipy pandas xarray numba jax diffrax optimistix numpyro pydiffsol pkpdutils

# The first interpreter on the PATH that runs, is new enough and can make environments.
PICK = for p in $(CANDIDATES); do \
	if "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; \
	then echo "$$p"; break; fi; done

.PHONY: help demo test test-slow test-nightly lint format bench peers peers-stan peers-r bench-engine docs docs-models docs-gallery notebooks clean
help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/python:
	@py="$$($(PICK))"; \
	if [ -z "$$py" ]; then \
		echo "cart_pkpd needs Python 3.12 or newer with the venv module; none of these qualifies: $(CANDIDATES)."; \
		echo "Install Python 3.13 (for example 'uv python install 3.13' or 'pyenv install 3.13'; on Debian also python3-venv),"; \
		echo "or name one: make PYTHON=/path/to/python3.13 demo"; \
		exit 1; fi; \
	echo "Using $$py ($$($$py --version))"; \
	"$$py" -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing cart_pkpd into $(VENV) (about 800 MB, a minute or two)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## install, analyse the bundled trial, say where the report is
	@$(BIN)/cart-pkpd demo --out demo

test: $(VENV)/.installed-dev  ## the whole test-suite, without the long and the nightly tests
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope

test-slow: $(VENV)/.installed-dev  ## the long statistical tests
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope -m slow

test-nightly: $(VENV)/.installed-dev  ## tables damaged thousands of times, and of 100,000 patients
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope -m nightly

lint: $(VENV)/.installed-dev  ## style, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.installed-dev  ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: peers peers-stan peers-r  ## every comparison of speed, or ROWS="B1 B5", and their page (about an hour on an idle machine)
	@$(BIN)/python benchmarks/bench.py --python $(VENV)-peers/bin/python --stan $(VENV)-stan/bin/python --r-libs $(VENV)-r --rows $(ROWS)

bench-coverage: $(VENV)/.installed-dev  ## speed of NCA and coverage of intervals (about 20 minutes)
	@$(BIN)/python benchmarks/bench_nca.py
	@$(BIN)/python benchmarks/interval_coverage.py

peers: $(VENV)/.installed-dev
	@test -x $(VENV)-peers/bin/python || $(BIN)/python -m venv $(VENV)-peers
	@$(VENV)-peers/bin/python -m pip install --quiet $(PEERS)

# PyStan's wheels work under Python 3.10 only.
peers-stan:
	@for p in $(STAN_PYTHON) python3.10 "$$HOME"/.pyenv/versions/3.10.*/bin/python3.10; do \
		test -x $(VENV)-stan/bin/python || "$$p" -m venv $(VENV)-stan 2>/dev/null; done; \
	if test -x $(VENV)-stan/bin/python; then $(VENV)-stan/bin/python -m pip install --quiet --only-binary :all: pystan; \
	else echo "No Python 3.10 was found (STAN_PYTHON=/path/to/python3.10 names one): Stan is left out."; fi

peers-r:
	@if ! command -v Rscript >/dev/null; then echo "R is not installed: PKNCA is left out."; else mkdir -p $(VENV)-r; \
	R_LIBS=$(VENV)-r Rscript -e 'if (!requireNamespace("PKNCA", quietly = TRUE)) {' \
	-e 'if ("@CRAN@" %in% getOption("repos")) chooseCRANmirror(graphics = FALSE, ind = 1, local.only = TRUE)' \
	-e 'install.packages("PKNCA", lib = "$(VENV)-r") }' >/dev/null 2>&1 || true; \
	R_LIBS=$(VENV)-r Rscript -e 'quit(status = !requireNamespace("PKNCA", quietly = TRUE))' \
	|| echo "PKNCA could not be installed into $(VENV)-r: it is left out."; fi

bench-engine: peers  ## speed of the engine beside its peers, in an environment of their own (about 15 minutes)
	@$(BIN)/python benchmarks/engine/peers.py --python $(VENV)-peers/bin/python --repeats 15
	@$(BIN)/python benchmarks/engine/in_turns.py
	@$(BIN)/python benchmarks/engine/first_draw.py
	@$(BIN)/python benchmarks/engine/table.py

$(VENV)/.installed-docs: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.installed-docs  ## the documentation site, in site/: warnings are errors, links are checked
	@$(BIN)/python docs/make_reference.py --check
	@$(BIN)/python -m sphinx -q -E -a -W --keep-going -b html docs site
	@$(BIN)/python docs/_site/check_links.py site
	@echo "Open site/index.html; it needs no network."

docs-gallery: $(VENV)/.installed-dev  ## the gallery and its pictures (a few minutes)
	@$(BIN)/python docs/make_gallery.py

notebooks: $(VENV)/.installed-dev  ## run the notebooks and store what they show (about 15 minutes)
	@$(BIN)/python notebooks/run.py

docs-models: $(VENV)/.installed-dev  ## the pages of the model library, from the declarations
	@$(BIN)/python docs/make_model_pages.py

clean:  ## remove the environment, and what demo and docs wrote
	rm -rf $(VENV) $(VENV)-peers $(VENV)-stan $(VENV)-r demo site docs/api
