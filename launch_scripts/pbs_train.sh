#!/usr/bin/env bash
# Train on all nodes of a PBS job; arguments go to `dcam-dist train`. NOT RUN ON A REAL SITE: read it, and try it on one node first.
# `dcam-dist submit --dry-run` puts the header before it. Exit code 75: it left in time and has saved; qsub it again to go on.
#   DCAM_SECONDS       the job's time, without what a save may take
set -uo pipefail
source launch_scripts/job.sh

on_each_node() { # pbsdsh hands no environment on, and is content whatever its tasks end with
  local notes=$DCAM_JOBS/$PBS_JOBID.tasks code
  mkdir -p "$notes"
  export -p >"$notes/environment"
  pbsdsh -- bash -c "source '$notes/environment'; cd '$PWD' && { $(printf '%q ' "$@"); }; echo \$? >'$notes/'\$(hostname).code"
  code=$(cat "$notes"/*.code 2>/dev/null | sort -n | tail -n 1)
  rm -rf "$notes"
  return "${code:-4}"
}

nodes=$(sort -u "${PBS_NODEFILE:?this is a batch job: hand it to qsub}" | wc -l)
endpoint=$(head -n 1 "$PBS_NODEFILE")${DCAM_HOST_SUFFIX:-}:$((12000 + ${PBS_JOBID%%.*} % 20000))
expect "$@"
on_each_node "${python[@]}" -m dcam_dist preflight "${expected[@]}" --meet "$endpoint" || exit
on_each_node "${python[@]}" -m dcam_dist.launch --nnodes="$nodes" --rdzv-backend=c10d --rdzv-endpoint="$endpoint" \
  --rdzv-id="$PBS_JOBID" --nproc-per-node="$ranks" --max-restarts=0 \
  -m dcam_dist train "$@" training.max_minutes="$(((DCAM_SECONDS - SECONDS) / 60))"
code=$?
event "ended exit=$code"
exit "$code"
