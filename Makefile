# `make demo`, `make test` and `make check` set up all they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test tools check format docs clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/foldstep demo

# Tests start hundreds of processes, which must not compile the sources anew each time where bytecode is switched off.
test: $(STAMP) tools
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist worksteal

# What tests need besides Python packages: openssl for a certificate, curl for the README's commands, g++ for the compiled backend, a browser for the page.
tools:
	@missing=""; \
	command -v curl >/dev/null || missing=curl; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	command -v g++ >/dev/null || missing="$$missing g++"; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| missing="$$missing chromium"; \
	[ -n "$$missing" ] || exit 0; \
	[ "$$(id -u)" = 0 ] && as_root="" || as_root="sudo -n"; \
	$$as_root apt-get update -qq && $$as_root apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
		|| echo "Tests need $$missing, which cannot be installed from here: install it, or they will fail." >&2

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site of the documentation, in build/docs; nothing is loaded from other servers.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open build/docs/index.html"

clean:
	rm -rf $(VENV) build *.egg-info
