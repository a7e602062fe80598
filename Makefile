# Every target sets up .venv by itself, once: what is installed is recorded in stamp files, so that a
# second run starts at once. A failed installation leaves no stamp and is tried again.

PYTHON ?= python3

BIN := .venv/bin
PACKAGES := irem_core irem_tasks irem_baselines
PROJECTS := $(PACKAGES:%=%/pyproject.toml)
DEMO_TIME := 5 minutes

# pip hands these to the isolated environments that it builds packages in, where -c does not reach.
# PIP_BUILD_CONSTRAINT is for the versions of pip that no longer read PIP_CONSTRAINT there.
CONSTRAINTS := constraints.txt $(PIP_CONSTRAINT)
INSTALL := PIP_CONSTRAINT="$(CONSTRAINTS)" PIP_BUILD_CONSTRAINT="$(CONSTRAINTS)" \
	$(BIN)/python -m pip --disable-pip-version-check

.PHONY: help
help:
	@echo "make demo     train IREM to add vectors, solve one problem, and a hard Sudoku step by step"
	@echo "make test     lint, check formatting, types and imports, and run the quick tests"
	@echo "make test-all the same with all tests, the slow ones too"
	@echo "make test-oldest  the quick tests with the oldest versions that are declared"
	@echo "make docs     build the documentation into docs/_build"
	@echo "make bench    measure speed, beside a plain transcription of the paper's Algorithm 1"
	@echo "make wheels   build the three packages into dist/"
	@echo "make clean    delete .venv, dist and the caches (trained runs are kept)"
	@echo "The first run installs the dependencies into .venv; PYTHON=python3.12 chooses a Python."

# The first line must appear before the installation, which is therefore a step and no prerequisite.
.PHONY: demo
demo:
	@echo "Training IREM to add two vectors, then solving one problem: about $(DEMO_TIME)" \
		"on two CPU cores, the first time a few more to install PyTorch. Ctrl-C keeps what is" \
		"trained; 'make demo' goes on from there."
	@$(MAKE) --no-print-directory .venv/.installed
	$(BIN)/irem train add --preset paper --iterations 4000 --out runs/demo --resume
	$(BIN)/irem solve runs/demo --difficulty same --count 1
	$(BIN)/irem solve sudoku --difficulty harder --count 1 --restarts 64 --watch

.PHONY: check
check: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: test
test: check
	$(BIN)/pytest -n logical

.PHONY: test-all
test-all: check
	$(BIN)/pytest -n logical -m "slow or not slow"

# With the oldest versions that the packages declare, in an environment of its own.
.PHONY: test-oldest
test-oldest: .venv-oldest/.installed
	.venv-oldest/bin/pytest -n logical

.PHONY: docs
docs: .venv/.installed-docs
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build
	@echo "The documentation is docs/_build/index.html."

.PHONY: bench
bench: .venv/.installed
	$(BIN)/python benchmarks
	$(BIN)/python benchmarks/render_results.py

.PHONY: wheels
wheels: .venv/.created
	$(INSTALL) wheel --no-deps --wheel-dir dist $(PACKAGES:%=./%)

.PHONY: clean
clean:
	rm -rf .venv .venv-oldest dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.git -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "irem needs Python 3.11 or later; choose one with 'make PYTHON=/path/to/python3'." >&2; \
		exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

# The packages need one another and are in no registry, so one command must install all three.
.venv/.installed: $(PROJECTS) constraints.txt | .venv/.created
	@echo "Installing the packages and PyTorch into .venv; this takes some minutes, once."
	$(INSTALL) install --quiet -c constraints.txt $(PACKAGES:%=-e ./%)
	@touch $@

.venv/.installed-docs: .venv/.installed requirements-docs.txt
	$(INSTALL) install --quiet -c constraints.txt -r requirements-docs.txt
	@touch $@

.venv/.installed-test: .venv/.installed requirements-test.txt requirements-docs.txt
	$(INSTALL) install --quiet -c constraints.txt -r requirements-test.txt
	@touch $@

.venv-oldest/.installed: $(PROJECTS) tests/oldest.py requirements-test.txt
	$(PYTHON) -m venv .venv-oldest
	$(PYTHON) tests/oldest.py > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip --disable-pip-version-check install --quiet \
		-c .venv-oldest/constraints.txt $(PACKAGES:%=-e ./%) -r requirements-test.txt
	@touch $@
