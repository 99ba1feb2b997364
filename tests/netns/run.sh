#!/usr/bin/env bash
# Two hosts on this machine: how they meet, a slow cable, a cut one, a lost node; needs root, iproute2 and iptables.
# Writes tests/netns/results.md. Arguments go to pytest; with any, no page is written.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ $# = 0 ] || exec .venv/bin/python -m pytest -m netns tests/netns "$@"
xml=$(mktemp)
trap 'rm -f "$xml"' EXIT
code=0
.venv/bin/python -m pytest -m netns tests/netns --junit-xml="$xml" || code=$?
PYTHONPATH=tests:. .venv/bin/python -m support.suite_page "$xml" tests/netns/results.md "On two hosts" "bash tests/netns/run.sh"
exit "$code"
