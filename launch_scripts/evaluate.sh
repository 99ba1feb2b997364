#!/usr/bin/env bash
# Evaluate finished runs, draw the maps of each one's typical cases and make its report, on this machine.
#   launch_scripts/evaluate.sh RUN...
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
[ $# -gt 0 ] || { echo "usage: evaluate.sh RUN..." >&2; exit 2; }
.venv/bin/dcam-dist evaluate "$@"
for run in "$@"; do
  .venv/bin/dcam-dist maps "$run"
  .venv/bin/dcam-dist report "$run"
done
