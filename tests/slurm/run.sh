#!/usr/bin/env bash
# Everything on a real Slurm of two nodes on this machine, 20 minutes; installs Debian's slurm-wlm and munge where they are missing, so as
# root. Writes tests/slurm/results.md. Arguments go to pytest; with any, no page is written.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if ! command -v slurmctld >/dev/null; then
  scratch=$(mktemp -d /tmp/dcam-slurm-XXXX)
  bash tests/slurm/up.sh --install "$scratch"
  bash tests/slurm/down.sh "$scratch"
  rm -rf "$scratch"
fi
[ $# = 0 ] || exec .venv/bin/python -m pytest -m slurm tests/slurm "$@"
xml=$(mktemp)
trap 'rm -f "$xml"' EXIT
code=0
.venv/bin/python -m pytest -m slurm tests/slurm --junit-xml="$xml" || code=$?
PYTHONPATH=tests:. .venv/bin/python -m support.suite_page "$xml" tests/slurm/results.md "On a real Slurm" "bash tests/slurm/run.sh"
exit "$code"
