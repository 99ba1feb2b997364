#!/usr/bin/env bash
# Train on all nodes of an LSF job; arguments go to `dcam-dist train`. NOT RUN ON A REAL SITE: read it, and try it on one node first.
# `dcam-dist submit --dry-run` puts the header before it, with -Q 75: LSF requeues a job that left in time.
#   DCAM_SECONDS       the job's time, without what a save may take
set -uo pipefail
source launch_scripts/job.sh

on_each_node() { # without -z blaunch starts one copy a slot
  blaunch -z "$(tr '\n' ' ' <<<"$hosts")" "$@"
  code=$?
}

finish() { # CODE: LSF requeues 75, for ever
  local code=$1 starts
  starts=$(grep -c ' started ' "$DCAM_JOBS/$job_id.events")
  if [ "$code" = 75 ] && [ "${starts:-1}" -le "${DCAM_REQUEUES:-20}" ] && [ ! -e "$stop_file" ]; then
    event "requeued exit=75 restart=$starts"
    exit 75
  fi
  event "ended exit=$code"
  [ "$code" != 75 ] || { echo "job: asked to leave, and not to be requeued again. Submit it again to go on." >&2 && exit 1; }
  exit "$code"
}

hosts=$(awk '!seen[$0]++' "${LSB_DJOB_HOSTFILE:?this is a batch job: hand it to bsub}") # it has a line a slot
nodes=$(wc -l <<<"$hosts")
endpoint=$(head -n 1 <<<"$hosts")${DCAM_HOST_SUFFIX:-}:$((12000 + LSB_JOBID % 20000))
expect "$@"
on_each_node "${python[@]}" -m dcam_dist preflight "${expected[@]}" --meet "$endpoint"
[ "$code" = 0 ] || finish "$code"
on_each_node "${python[@]}" -m dcam_dist.launch --nnodes="$nodes" --rdzv-backend=c10d --rdzv-endpoint="$endpoint" \
  --rdzv-id="$LSB_JOBID" --nproc-per-node="$ranks" --max-restarts=0 \
  -m dcam_dist train training.max_minutes="$(((DCAM_SECONDS - SECONDS) / 60))" "$@"
finish "$code"
