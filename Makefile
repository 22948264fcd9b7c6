# Every target sets itself up in .venv, from nothing but Python 3.11 or newer with pip (uv is used where it is installed).
# The set-up runs again only when pyproject.toml or constraints.txt changed.

BIN := .venv/bin
READY := .venv/.ready
FLOW := examples/order_processing.yaml
NAME ?= engine
# Tests mostly wait for servers: more of them at a time than there are cores.
JOBS ?= 3
ARGS ?=

# Whatever the environment says: the tests start hundreds of processes, and none is to compile all it imports once more.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench soak audit lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## a whole fleet on this machine, and a thousand orders through it
	@$(BIN)/python examples/demo.py

test: $(READY) ## run the tests (ARGS="-k merge" narrows them, JOBS=0 takes them one by one)
	@$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: $(READY) ## ruff, mypy --strict, the import contracts, and an audit of what is pinned (where it can be had)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@.ci/audit || [ $$? -eq 2 ]

format: $(READY) ## let ruff format and repair what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) ## measure (NAME=engine, ARGS=--json; see benchmarks/README.md)
	@$(BIN)/python -m benchmarks $(NAME) $(ARGS)

soak: $(READY) ## the property tests with a hundred times the examples, and a server of a cluster killed
	@$(BIN)/pytest -m "hypothesis or soak" --hypothesis-profile=soak -o faulthandler_timeout=0 $(ARGS)

audit: $(READY) ## ask whether a pinned dependency is known to be vulnerable (2: it could not be found out)
	@.ci/audit

lock: ## resolve the dependencies anew and pin them in constraints.txt
	@.ci/lock

clean: ## remove .venv and everything else that was generated
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@.ci/setup
	@touch $@
