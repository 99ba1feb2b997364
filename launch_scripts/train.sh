#!/usr/bin/env bash
# Train on all GPUs of this node, or in DCAM_RANKS processes; arguments go to `dcam-dist train`.
# Exit code 75 after SIGTERM or SIGUSR1: saved, run it again to go on.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
ranks=${DCAM_RANKS:-$( (nvidia-smi --list-gpus 2>/dev/null || true) | wc -l)}
exec .venv/bin/python -m dcam_dist.launch --standalone --nproc_per_node="$((ranks > 0 ? ranks : 1))" -m dcam_dist train "$@"
