#!/usr/bin/env bash
# Train on all nodes of an LSF job; arguments go to `dcam-dist train`. NOT RUN ON A REAL SITE: read it, and try it on one node first.
# `dcam-dist submit --dry-run` puts the header before it; variables as in job.sh. Its -Q 75 has LSF requeue a job that left in time.
set -uo pipefail
trap : USR1 # the launchers have it too, and leave in order

hosts=$(awk '!seen[$0]++' "${LSB_DJOB_HOSTFILE:?this is a batch job: hand it to bsub}") # it has a line a slot
nodes=$(wc -l <<<"$hosts")
endpoint=$(head -n 1 <<<"$hosts")${DCAM_HOST_SUFFIX:-}:$((12000 + LSB_JOBID % 20000))
read -ra python <<<"${DCAM_PYTHON_CMD:-$PWD/.venv/bin/python}"

on_each_node() { # without -z blaunch starts one copy a slot
  blaunch -z "$(tr '\n' ' ' <<<"$hosts")" "$@"
}

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
on_each_node "${python[@]}" -m dcam_dist preflight --nodes "$nodes" --gpus "${DCAM_GPUS:-0}" --meet "$endpoint" || exit
on_each_node "${python[@]}" -m dcam_dist.launch --nnodes="$nodes" --rdzv-backend=c10d --rdzv-endpoint="$endpoint" \
  --rdzv-id="$LSB_JOBID" --nproc-per-node="${DCAM_RANKS:-1}" --max-restarts=0 -m dcam_dist train "$@"
