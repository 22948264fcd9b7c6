# Every target sets itself up in .venv, from nothing but Python 3.11 or newer with pip (uv is used where it is installed).
# The set-up runs again only when pyproject.toml or constraints.txt changed.

BIN := .venv/bin
READY := .venv/.ready
FLOW := examples/order_processing.yaml
NAME ?= engine
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench soak lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## draw the example flow, run one order through it, then a thousand
	@printf '\n== The flow: a switch parts the ways, a merge joins them (jetfleet graph)\n\n'
	@$(BIN)/jetfleet graph $(FLOW)
	@printf '\n== One order, a risky one: what each node did (jetfleet run)\n\n'
	@$(BIN)/jetfleet run $(FLOW) --local --run-id demo --input '{"order_id": "A-1", "risk_score": 0.9}'
	@printf '\n== A thousand orders, one per line of a file: how many, how fast\n\n'
	@$(BIN)/jetfleet run $(FLOW) --local --input @examples/orders.jsonl
	@printf '\nRead next: README.md, then the examples in examples/, each with its command in the header.\n'
	@printf 'Try next:  . .venv/bin/activate && python examples/quickstart.py\n'

test: $(READY) ## run the tests (ARGS="-k merge" narrows them)
	@$(BIN)/pytest $(ARGS)

lint: $(READY) ## ruff, mypy --strict and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(READY) ## let ruff format and repair what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) ## measure (NAME=engine, ARGS=--json; see benchmarks/README.md)
	@$(BIN)/python -m benchmarks $(NAME) $(ARGS)

soak: $(READY) ## the property tests, with a hundred times the examples
	@$(BIN)/pytest -m hypothesis --hypothesis-profile=soak -o faulthandler_timeout=0 $(ARGS)

lock: ## resolve the dependencies anew and pin them in constraints.txt
	@.ci/lock

clean: ## remove .venv and everything else that was generated
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@.ci/setup
	@touch $@
