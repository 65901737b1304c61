PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TASK ?= diagnostics
READY := $(VENV)/.ready
EXTRAS := cluster detection dev diffusers docs export geotiff parquet prune samples search video

.PHONY: setup demo test coverage lowest lint format docs site requirements clean
.DEFAULT_GOAL := setup

setup: $(READY)

# uv takes the registry's own torch build, whose compiled operators match torchvision's; byte-compiling once saves
# seconds of every later import.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "blockyard needs Python 3.11 or newer: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) has no ensurepip: install python3-venv (Debian, Ubuntu) first"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(READY)
	@echo "ready: '. $(BIN)/activate' puts blockyard on this shell's path, or type $(BIN)/blockyard"
	@echo "elsewhere: pip install '.[samples]', with the extras samples, cluster, video, parquet, export, geotiff, detection, diffusers, prune, search, wandb, mlflow as needed"

# TASK=image_classification for a task's.
demo: $(READY)
	$(BIN)/blockyard study studies/$(TASK)-demo.yaml

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The same, with the lines that no test runs.
coverage: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term-missing

# The same in an environment of its own with the lowest versions that pyproject.toml allows; its constraints are for
# the highest.
lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip install --quiet --no-config --python .venv-lowest/bin/python --resolution lowest-direct \
		--editable '.[cluster,detection,dev,diffusers,docs,export,geotiff,parquet,prune,samples,search,video]'
	.venv-lowest/bin/python -m pytest -n 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Tables of the README and pictures, from the committed records, and what the notebook answers.
docs: $(READY)
	$(BIN)/python docs/update.py
	$(BIN)/python docs/systems.py
	$(BIN)/python docs/profiles.py
	$(BIN)/python docs/page.py
	$(BIN)/python docs/execute.py

# build/site/index.html, which opens from disk; search works without a server.
site: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "open build/site/index.html"

# After a change of dependencies in pyproject.toml. Without mlflow and wandb: no test takes them, and they are large.
requirements: $(READY)
	$(BIN)/uv pip compile --quiet --universal $(EXTRAS:%=--extra %) --no-header --no-annotate pyproject.toml -o requirements.txt

clean:
	rm -rf $(VENV) .venv-lowest build *.egg-info .mypy_cache .pytest_cache .ruff_cache
