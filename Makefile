# Two commands matter: `make run` and `make test`. Both set up .venv from requirements.lock first.
# The first of these that runs and is 3.11, 3.12 or 3.13; `make PYTHON=/path/to/python3.12` takes another.
ifndef PYTHON
PYTHON := $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$python && break; done)
endif
BIN := .venv/bin
READY := .venv/ready

.PHONY: help run test lab lint bench mutate fuzz audit lock pictures docs app

help:
	@echo "make run       set up .venv, execute the notebooks, write results/, compare with data/baselines"
	@echo "make test      set up .venv, run the test suite"
	@echo "make lab       JupyterLab on a copy of the notebooks, loopback only, token on"
	@echo "make app       the same notebooks without code"
	@echo "make docs      build the documentation into site/"
	@echo "make lint      ruff: rules and format; mypy: types"
	@echo "make bench     speed against named rivals"
	@echo "make mutate    change one operator, number or condition at a time: do the tests notice?"
	@echo "make fuzz      damaged files at every command, an hour at most; SECONDS=120 for less"
	@echo "make audit     known weaknesses of what is installed (pip-audit), and of this code (bandit)"
	@echo "make lock      compile requirements.lock from pyproject.toml"
	@echo "make pictures  draw the pictures of README and documentation, from results/ (needs Chromium)"

run: $(READY)
	$(BIN)/effnet-lab run --out results
	$(BIN)/effnet-lab check --results results --complete

# Two processes; a file's tests stay together, for the sake of what they share, and the longest files begin (tests/conftest.py).
test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lab: $(READY)
	$(BIN)/effnet-lab lab

app: $(READY)
	$(BIN)/effnet-lab app

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --config-file docs/mkdocs.yml

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m pytest tests/benchmarks -q -s

mutate: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement pyproject.toml --extra mutate
	$(BIN)/python tests/mutation/run.py --write

SECONDS := 3600
fuzz: $(READY)
	$(BIN)/python tests/fuzz/run.py --seconds $(SECONDS) --keep results/fuzz --write docs/pages/explanations/robustness.md

audit: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement pyproject.toml --extra audit
	$(BIN)/bandit --quiet --recursive effnet_lab --configfile pyproject.toml
	$(BIN)/pip-audit --progress-spinner off --requirement requirements.lock --disable-pip

pictures: $(READY)
	$(BIN)/python tests/draw_pictures.py results data/pictures
	$(BIN)/python docs/figures.py docs/pages/figures

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--quiet --output-file requirements.lock

# The stamp is written last: without it the environment is incomplete (a first or an interrupted install) or older than
# the lock, and is made anew.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { \
		echo "effnet-lab needs Python 3.11, 3.12 or 3.13, and none is on the PATH. Install one, or say where it is: make PYTHON=/path/to/python3.12" >&2; \
		exit 2; }
	@command -v $(PYTHON) >/dev/null || { \
		echo "effnet-lab needs Python 3.11, 3.12 or 3.13, and there is no '$(PYTHON)'. Say where one is: make PYTHON=/path/to/python3.12" >&2; \
		exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "effnet-lab needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Say where one is: make PYTHON=/path/to/python3.12" >&2; \
		exit 2; }
	@echo "Setting up .venv (about 4.6 GB, a few minutes the first time)"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
