#!/usr/bin/env bash
# Run the tests of one mark and write what they have shown:   tests/support/run_suite.sh MARK TITLE [ARGUMENTS OF PYTEST]
# The page is tests/MARK/results.md; with arguments none is written.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mark=${1:?usage: run_suite.sh MARK TITLE [ARGUMENTS OF PYTEST]} title=${2:?usage: run_suite.sh MARK TITLE [ARGUMENTS OF PYTEST]}
shift 2
[ $# = 0 ] || exec .venv/bin/python -m pytest -m "$mark" "tests/$mark" "$@"
xml=$(mktemp)
trap 'rm -f "$xml"' EXIT
code=0
.venv/bin/python -m pytest -m "$mark" "tests/$mark" --junit-xml="$xml" || code=$?
PYTHONPATH=tests:. .venv/bin/python -m support.suite_page "$xml" "tests/$mark/results.md" "$title" "bash tests/$mark/run.sh"
exit "$code"
