# `make demo` on a fresh machine needs Python 3.11 or later and pip, nothing else; nothing is downloaded but packages.
# Another interpreter: make demo PYTHON=/path/to/python3.12. Another environment folder: make test VENV=somewhere.

ifndef PYTHON
PYTHON := $(shell for each in python3.11 python3.12 python3.13 python3 python; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$$each" && break; done)
endif
VENV   ?= .venv
DEMO   ?= demo
# Of the benchmarks; each has defaults of its own.
ROWS    ?=
MEMORY  ?= 1GB
SIZES   ?=
ROUNDS  ?=
OUT     ?=
COVERAGE ?=
# Of the tests; one more than there are processors, for many tests wait for a server or the disk.
WORKERS ?= $(shell "$(PYTHON)" -c 'import os; print(min(8, 1 + (os.cpu_count() or 1)))')
ALONE = $(shell grep -rl --include='*.py' 'pytest\.mark\.alone' tests)
RESULTS ?= $(if $(OUT),$(OUT),bench.json)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --require-virtualenv
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help demo demo-errors ui test test-thorough validators lint format bench bench-scale bench-docs bench-quick bench-stages bench-upload recognition schema docs architecture ui-pictures tutorial start-page docs-site lock sbom oldest clean

help: ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

# A stamp is as old as the environment's last installation from its lock; an unchanged lock installs nothing.
# The development lock holds the runtime lock's versions and more, so an environment that has it serves both.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python found. Install Python 3.11, or name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@command -v "$(PYTHON)" >/dev/null || { echo "PYTHON=$(PYTHON): there is no such program." >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and "$(PYTHON) is Python %d.%d; 3.11 or later is needed: make PYTHON=/path/to/python3.11" % v)'
	"$(PYTHON)" -m venv "$(VENV)" || { rm -rf "$(VENV)"; echo "$(PYTHON) cannot make a virtual environment; install its venv module (python3-venv)." >&2; exit 2; }

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	$(PIP) install --quiet --no-deps --editable .
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed ## Write a small lab into ./demo and run it through Dagster into the embedded SynDB node
	$(BIN)/syndb-pipeline demo "$(DEMO)"
	$(BIN)/syndb-pipeline run "$(DEMO)/demo.yaml"

demo-errors: $(VENV)/.installed ## The same lab with deliberate mistakes: what the pipeline says about them
	$(BIN)/syndb-pipeline demo "$(DEMO)"
	@echo '$(BIN)/syndb-pipeline run "$(DEMO)/demo_errors.yaml"'
	@$(BIN)/syndb-pipeline run "$(DEMO)/demo_errors.yaml"; code=$$?; \
	if [ $$code -eq 3 ]; then echo "Refused with exit code 3, as it should be."; \
	else echo "Expected exit code 3 (data rejected), got $$code." >&2; exit 1; fi

ui: $(VENV)/.installed ## Open the Dagster UI on this machine
	$(BIN)/syndb-pipeline ui

lint: $(VENV)/.installed-dev ## ruff and mypy, the package also as Windows and macOS see it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for system in win32 darwin; do \
		$(BIN)/mypy --platform $$system --cache-dir .mypy_cache/$$system -p syndb_pipeline || exit; done

# Types are checked beside the tests, which are not to wait for that; what Python compiled is kept, for
# tests start many processes. Files in the order of their names: by default those of few tests come
# last, which are the longest.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.installed-dev ## lint, then every test, of the long campaigns a sample: on all cores; then those that measure time
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/mypy & types=$$!; \
	$(BIN)/python -m pytest -m "not alone" --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(COVERAGE) $(if $(COVERAGE),--cov-report=); \
	tests=$$?; wait $$types || { echo "Types are wrong, see: $(BIN)/mypy" >&2; exit 1; }; exit $$tests
	$(BIN)/python -m pytest -m alone $(ALONE) $(if $(COVERAGE),$(COVERAGE) --cov-append --cov-report=term)

test-thorough: export SYNDB_TESTS := all
test-thorough: ## As test, with the whole of every campaign, and coverage
	$(MAKE) test COVERAGE=--cov

# They cannot be where we are: roc-validator wants an older rich, cffconvert an older jsonschema.
validators: ## The public validators of the manifests, in environments of their own: tests skip them where they are not
	"$(PYTHON)" -m venv .validators/a
	.validators/a/bin/pip install --quiet "frictionless[parquet]==5.21.0" mlcroissant==1.1.1 rocrate==0.16.0 roc-validator==0.13.0 datacite==1.4.1
	"$(PYTHON)" -m venv .validators/b
	.validators/b/bin/pip install --quiet cffconvert==2.0.0

format: $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

COMPARE := $(BIN)/python -m benchmarks.compare --memory-limit $(MEMORY)
SCALE   := $(BIN)/python -m benchmarks.scale --memory-limit $(MEMORY)
# A contestant that fails does not keep the sizes from being measured.
bench: $(VENV)/.installed-dev ## All contestants in turn at ROWS=10000000, then the series of SIZES, into OUT=bench.json
	@code=0; \
	$(COMPARE) --rows $(or $(ROWS),10000000) --rounds $(or $(ROUNDS),3) --out "$(RESULTS)" || code=1; \
	$(SCALE) $(if $(SIZES),--sizes $(SIZES)) --rounds $(or $(ROUNDS),3) --out "$(RESULTS)" || code=1; exit $$code

bench-scale: $(VENV)/.installed-dev ## Only the series, or more sizes into the same file: make bench-scale SIZES=100000000 ROUNDS=1 OUT=bench.json
	$(SCALE) $(if $(SIZES),--sizes $(SIZES)) --rounds $(or $(ROUNDS),3) --out "$(RESULTS)"

bench-docs: $(VENV)/.installed-dev ## Write docs/performance.md and its plot from measurements: make bench-docs RESULTS=bench.json
	$(BIN)/python -m benchmarks.page "$(RESULTS)"

bench-quick: $(VENV)/.installed-dev ## Whole runs of 1 million rows, in turn, with ratios beside their bars; never fails on time
	$(COMPARE) --rows $(or $(ROWS),1000000) --rounds $(or $(ROUNDS),1) $(if $(OUT),--out "$(OUT)")

bench-stages: $(VENV)/.installed ## Each stage in a process of its own, rows per second and peak memory: make bench-stages ROWS=10000000
	$(BIN)/python -m benchmarks.run --rows $(or $(ROWS),1000000) --memory-limit $(MEMORY) $(if $(OUT),--out "$(OUT)")

UPLOADS := 64MB,2GB
bench-upload: $(VENV)/.installed ## Throughput and memory of uploads beside curl's: make bench-upload SIZES=64MB,2GB
	$(BIN)/python -m benchmarks.upload --sizes $(or $(SIZES),$(UPLOADS)) $(if $(OUT),--out "$(OUT)")

recognition: $(VENV)/.installed-dev ## How many mistakes in real tables are recognised: make recognition SYNDB_ACCEPTANCE_DATA=folder
	$(if $(SYNDB_ACCEPTANCE_DATA),SYNDB_ACCEPTANCE_DATA="$(SYNDB_ACCEPTANCE_DATA)" )$(BIN)/python -m benchmarks.recognition

schema: $(VENV)/.installed ## Write config/schema/*.json from the settings
	$(BIN)/python -c 'from pathlib import Path; from syndb_pipeline.config.json_schema import write_schemas; from syndb_pipeline.destinations import Settings; write_schemas(Path("config/schema"), Settings)'

docs: $(VENV)/.installed ## Write the examples of the findings' pages, and docs/findings.md
	$(BIN)/python -m tests.wrong_inputs
	$(BIN)/python -c 'from pathlib import Path; from syndb_pipeline.rules.catalogue import document; Path("docs/findings.md").write_text(document(), encoding="utf-8")'

architecture: $(VENV)/.installed-dev ## Draw the rooms of the code for docs/architecture.md
	$(BIN)/python -m docs.rooms

ui-pictures: $(VENV)/.installed-dev ## Take the pictures of docs/dagster.md
	$(BIN)/python -m docs.dagster_pictures

docs-site: $(VENV)/.installed-dev ## Build the documentation as a site into ./site: python -m http.server --bind 127.0.0.1 --directory site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

start-page: $(VENV)/.installed-dev ## Install into an empty folder, go every way, and write docs/start.md
	$(BIN)/python -m docs.start

tutorial: $(VENV)/.installed-dev ## Walk the tutorial and write docs/tutorial.md, with pictures: make tutorial SYNDB_ACCEPTANCE_DATA=folder
	$(if $(SYNDB_ACCEPTANCE_DATA),SYNDB_ACCEPTANCE_DATA="$(SYNDB_ACCEPTANCE_DATA)" )$(BIN)/python -m docs.tutorial

# pip accepts hashes for a package with extras only when its pin names the extras, and a constraints file may name none: hence the sed.
lock: $(VENV)/.installed-dev ## Resolve the dependencies anew and write both lock files
	$(PIP) install --quiet 'pip-tools>=7.5'
	CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --no-strip-extras --extra sandbox --extra operate --output-file requirements.lock pyproject.toml
	sed -E 's/^([a-z0-9-]+)\[[a-z,]+\]/\1/; s/ \\$$//; /--hash=/d' requirements.lock > $(VENV)/constraints.txt
	CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --no-strip-extras --extra dev --extra docs --extra sandbox --extra operate --extra cluster --constraint $(VENV)/constraints.txt --output-file requirements-dev.lock pyproject.toml
	@! grep -nE '(https?|file)://' requirements.lock requirements-dev.lock || { echo "A lock file holds an address." >&2; exit 1; }

sbom: $(VENV)/.installed-dev ## Write what an installation from the lock holds to dist/syndb-pipeline.cdx.json (CycloneDX)
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --output-file dist/syndb-pipeline.cdx.json

oldest: ## The demo, its stages and every finding with the oldest versions that pyproject.toml allows, in .venv-oldest
	"$(PYTHON)" -m venv .venv-oldest
	"$(PYTHON)" -m tests.oldest > .venv-oldest/oldest.txt
	.venv-oldest/bin/python -m pip install --quiet --constraint .venv-oldest/oldest.txt --editable '.[sandbox,operate]' hypothesis pytest pytest-timeout xlwt
	rm -rf .venv-oldest/demo && .venv-oldest/bin/syndb-pipeline demo .venv-oldest/demo
	cd .venv-oldest && bin/syndb-pipeline run demo/demo.yaml
	.venv-oldest/bin/python -m pytest -p no:cacheprovider tests/integration/test_demo_stages.py tests/unit/rules/test_every_rule.py

clean: ## Remove what make and the tools have written; state in .syndb stays
	rm -rf "$(DEMO)" .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* dist site
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
