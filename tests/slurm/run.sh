#!/usr/bin/env bash
# Everything on a real Slurm of two nodes on this machine, 20 minutes; installs Debian's slurm-wlm and munge where they are missing, so as
# root. Writes tests/slurm/results.md. Arguments go to pytest; with any, no page is written.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
if ! command -v slurmctld >/dev/null; then
  scratch=$(mktemp -d /tmp/dcam-slurm-XXXX)
  bash "$here/up.sh" --install "$scratch"
  bash "$here/down.sh" "$scratch"
  rm -rf "$scratch"
fi
exec bash "$here/../support/run_suite.sh" slurm "On a real Slurm" "$@"
