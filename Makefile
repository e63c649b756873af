# Every target sets up what it needs from Python 3.11 or newer, git and make; see README.md.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# The last one because the tests start hundreds of processes: each would compile all modules for itself.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

BIN := .venv/bin

# A stamp is named after the folder, so that an environment copied along with a clone is not taken for its own.
HERE := $(shell pwd | cksum | cut -d' ' -f1)
DEMO_READY := .venv/.demo-ready-$(HERE)
TEST_READY := .venv/.test-ready-$(HERE)
NODE_READY := tests/node/node_modules/.ready-$(HERE)
CLIENT_READY := clients/typescript/node_modules/.ready-$(HERE)
DEVCONTEXT_READY := examples/devcontext/node_modules/.ready-$(HERE)

.PHONY: help
help:
	@echo 'make demo    the whole story once, on real parts: connect, exchange, call, audit, revoke'
	@echo 'make devcontext  the example app with a sandbox around it, until Ctrl-C'
	@echo 'make test    the quality gate and all tests'
	@echo 'make screenshots  pictures of every page that people see, in every state'
	@echo 'make bench   what an exchange costs, beside peers measured in the same run; ARGS="--help" says more'
	@echo 'make campaigns  long reliability runs with figures: crowds, races, a hanging provider, kills'
	@echo 'make lint    the quality gate alone: ruff, mypy, import-linter'
	@echo 'make format  let ruff write the format that the gate asks for'
	@echo 'make timing  whether refusals that must look alike can be told apart by their time'
	@echo 'make lock    resolve the dependencies anew'
	@echo 'make clean   remove everything that the others made'

.PHONY: demo
demo: $(DEMO_READY)
	@$(BIN)/vaultd demo

# DEVCONTEXT_PORT=8090 and OPENAI_API_KEY are read from the environment.
.PHONY: devcontext
devcontext: $(TEST_READY) $(CLIENT_READY) $(DEVCONTEXT_READY)
	@examples/devcontext/run

# Three workers for two cores, each with a database server and a sandbox of its own. The last line is pytest's summary.
.PHONY: test
test: lint $(NODE_READY) $(CLIENT_READY) $(DEVCONTEXT_READY)
	@scripts/setup-chromium
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile

# Every page in every state, light, dark and at phone width, into build/screenshots.
.PHONY: screenshots
screenshots: $(TEST_READY) $(NODE_READY)
	@scripts/setup-chromium
	@$(BIN)/python -m tests.browser.screenshots

# Never part of the tests: its figures are the machine's.
.PHONY: bench
bench: $(TEST_READY) $(NODE_READY)
	@scripts/setup-bench
	@$(BIN)/python -m bench $(ARGS)

# About half an hour; each ends with an error when one of its bounds is broken. docs/campaigns.md
.PHONY: campaigns
campaigns: $(TEST_READY)
	@set -e; for one in single_flight races hanging kills; do $(BIN)/python -m campaigns.$$one; done

.PHONY: lint
lint: $(TEST_READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: $(TEST_READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: timing
timing: $(TEST_READY)
	@$(BIN)/python -m bench.indistinguishable $(ARGS)

.PHONY: lock
lock: $(TEST_READY)
	@scripts/lock

.PHONY: clean
clean:
	rm -rf .venv tests/node/node_modules build dist bench/out
	rm -rf $(foreach folder,node_modules build data,clients/typescript/$(folder) examples/devcontext/$(folder))
	rm -rf .mypy_cache .pytest_cache .hypothesis .ruff_cache .import_linter_cache .coverage .coverage.* htmlcov
	find src tests migrations bench clients examples -type d -name __pycache__ -prune -exec rm -rf {} +

# The demo installs less than the tests do; after the tests it installs nothing.
$(DEMO_READY): requirements-demo.lock pyproject.toml scripts/setup-python
	@scripts/setup-python requirements-demo.lock
	@touch $@

$(TEST_READY): requirements-dev.lock pyproject.toml scripts/setup-python
	@scripts/setup-python requirements-dev.lock
	@touch $@ $(DEMO_READY)

$(NODE_READY): tests/node/package-lock.json tests/node/package.json tests/node/.npmrc scripts/setup-node $(TEST_READY)
	@scripts/setup-node tests/node
	@touch $@

# Node.js 22 because the AI SDK, which the client is tested with, is for that.
$(CLIENT_READY): $(addprefix clients/typescript/,package-lock.json package.json .npmrc) scripts/setup-node $(TEST_READY)
	@scripts/setup-node clients/typescript 22
	@touch $@

$(DEVCONTEXT_READY): $(addprefix examples/devcontext/,package-lock.json package.json .npmrc) $(CLIENT_READY)
	@scripts/setup-node examples/devcontext 22
	@touch $@
