#!/usr/bin/env bash
# Train on all nodes of a PBS job; arguments go to `dcam-dist train`. NOT RUN ON A REAL SITE: read it, and try it on one node first.
# `dcam-dist submit --dry-run` puts the header before it; variables as in job.sh. Exit code 75: qsub it again to go on.
set -uo pipefail
trap : USR1 # the launchers have it too, and leave in order

nodes=$(sort -u "${PBS_NODEFILE:?this is a batch job: hand it to qsub}" | wc -l)
endpoint=$(head -n 1 "$PBS_NODEFILE")${DCAM_HOST_SUFFIX:-}:$((12000 + ${PBS_JOBID%%.*} % 20000))
read -ra python <<<"${DCAM_PYTHON_CMD:-$PWD/.venv/bin/python}"

on_each_node() { # pbsdsh starts one copy a chunk and hands no environment on
  export -p >"$DCAM_JOBS/$PBS_JOBID.environment"
  pbsdsh -- bash -c "source '$DCAM_JOBS/$PBS_JOBID.environment'; cd '$PWD' && exec $(printf '%q ' "$@")"
}

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
on_each_node "${python[@]}" -m dcam_dist preflight --nodes "$nodes" --gpus "${DCAM_GPUS:-0}" --meet "$endpoint" || exit
on_each_node "${python[@]}" -m dcam_dist.launch --nnodes="$nodes" --rdzv-backend=c10d --rdzv-endpoint="$endpoint" \
  --rdzv-id="$PBS_JOBID" --nproc-per-node="${DCAM_RANKS:-1}" --max-restarts=0 -m dcam_dist train "$@"
