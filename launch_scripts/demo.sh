#!/usr/bin/env bash
# The whole method on a small synthetic cohort; arguments go to `dcam-dist demo`.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec .venv/bin/dcam-dist demo --config configs/demo.yaml "$@"
