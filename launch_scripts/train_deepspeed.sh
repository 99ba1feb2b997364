#!/usr/bin/env bash
# Train with DeepSpeed's launcher and engine on all GPUs of this node, or in DCAM_RANKS processes; arguments go to `dcam-dist train`.
# Without a GPU set DS_ACCELERATOR=cpu. To have it save and leave, touch RUN/stop: that launcher makes 1 of a signal.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
ranks=${DCAM_RANKS:-$( (nvidia-smi --list-gpus 2>/dev/null || true) | wc -l)}
exec .venv/bin/deepspeed --num_gpus="$((ranks > 0 ? ranks : 1))" --no_local_rank --module dcam_dist train training.engine=deepspeed "$@"
