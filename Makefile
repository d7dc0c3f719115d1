.PHONY: test test-fast lint types docs docs-update bench

test: ## everything, against real processes on this machine
	pytest -n 2

test-fast: ## no Ray, no subprocess
	pytest -n 2 -m "not ray and not process and not slow"

lint:
	ruff check .
	ruff format --check .

types:
	mypy

docs: ## docs/_build/index.html; a warning is an error
	python docs/generate.py
	sphinx-build -W -q docs docs/_build

docs-update: ## write what the commands print today into the pages
	python docs/generate.py
	python -m tests.project.pages --update

bench: ## hours; each file alone: python benchmarks/NAME.py
	for file in benchmarks/*.py; do python $$file || exit 1; done
