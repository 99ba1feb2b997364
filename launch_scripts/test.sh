#!/usr/bin/env bash
# Lint, types, layers, tests; arguments go to pytest (with any, only pytest runs).
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
if [ $# -gt 0 ]; then
  exec .venv/bin/python -m pytest "$@"
fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/mypy docs/hooks/*.py
.venv/bin/lint-imports
exec .venv/bin/python -m pytest
