# Two commands do everything: make demo, make test.
# They set up a virtual environment of their own first, from the hash-locked requirements.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SBOM ?= sbom.json
LOCAL := schemas plugins/sdk plugins/housing plugins/social_security plugins/nhs client .

.PHONY: demo test check bench faults fuzz lock sbom licences audit clean

demo: $(READY)
	@$(BIN)/python -m samples.demo $(ARGS)

test: $(READY) check
	@$(BIN)/python -m pytest --numprocesses 3 --dist worksteal $(ARGS)

# What reads the code rather than runs it.
check: $(READY)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }

bench: $(READY)
	@$(BIN)/python -m benchmarks $(ARGS)

# Every fault in every house, counted; renews docs/faults.md. ARGS="--only killed" plays a part.
faults: $(READY)
	@$(BIN)/python -m tests.faults $(ARGS)

# The OpenAPI document, asked for longer than in make test.
fuzz: $(READY)
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),200) $(BIN)/python -m pytest tests/rooms/api/test_openapi.py --timeout 3600 $(ARGS)

# What we build on, with its hashes (CycloneDX); and under which licences.
sbom: $(READY)
	@$(BIN)/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-reproducible \
		--no-validate --of JSON -o $(SBOM) 2> /dev/null

licences: $(READY)
	@$(BIN)/python -m tests.rules.licences

# Known vulnerabilities of what is locked. Needs uv, and a way to the registry's advisories.
audit:
	@uvx pip-audit --strict --disable-pip --require-hashes --requirement requirements.txt

$(READY): requirements.txt pyproject.toml $(LOCAL:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(LOCAL:%=--editable ./%)
	@touch $(READY)

# Renew the lock from pyproject.toml and requirements-dev.in; the only command that needs uv. Left out: a grammar that
# the bill of materials asks for and does not use. jsonschema would read it, two seconds long, in every process.
lock:
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-emit-package referral-gateway --no-emit-package referral-gateway-sdk --no-emit-package referral-gateway-schemas --no-emit-package referral-gateway-client \
		--no-emit-package rfc3987-syntax --no-emit-package lark --no-annotate \
		--custom-compile-command "make lock" requirements-dev.in -o requirements.txt

clean:
	rm -rf $(VENV)
