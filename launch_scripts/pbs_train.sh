#!/usr/bin/env bash
# Train on all nodes of a PBS job; arguments go to `dcam-dist train`. NOT RUN ON A REAL SITE: read it, and try it on one node first.
# `dcam-dist submit --dry-run` puts the header before it. Exit code 75: it left in time and has saved; qsub it again to go on.
#   DCAM_SECONDS       the job's time, without what a save may take
set -uo pipefail
unset OMP_NUM_THREADS # PBS sets it to the cores of all processes of a node
source launch_scripts/job.sh

on_each_node() { # pbsdsh hands no environment on, and is content whatever its tasks end with: the worst code is in $code
  local try
  rm -rf "$notes"
  (umask 077 && mkdir -p "$notes")
  # what PBS sets on each node by itself is not to come from this one
  (unset CUDA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HOSTNAME TMPDIR PBS_NODENUM PBS_TASKNUM PBS_VNODENUM
    export -p >"$notes/environment")
  # shellcheck disable=SC2016  # for the task's own shell
  printf 'source %q\ncd %q && { %s; }\necho $? >%q/"$(hostname).code"\n' \
    "$notes/environment" "$PWD" "$(printf '%q ' "$@")" "$notes" >"$notes/task"
  pbsdsh -- /bin/bash "$notes/task"
  for ((try = 0; try < 60; try++)); do # a network file system shows them late
    [ "$(find "$notes" -name '*.code' | wc -l)" -ge "$nodes" ] && break
    sleep 1
  done
  code=4
  [ "$try" = 60 ] || code=$(cat "$notes"/*.code | sort -n | tail -n 1)
}

finish() { # CODE
  event "ended exit=$1"
  exit "$1"
}

nodes=$(sort -u "${PBS_NODEFILE:?this is a batch job: hand it to qsub}" | wc -l)
endpoint=$(head -n 1 "$PBS_NODEFILE")${DCAM_HOST_SUFFIX:-}:$((12000 + ${PBS_JOBID%%.*} % 20000))
notes=$DCAM_JOBS/$PBS_JOBID.tasks
trap 'rm -rf "$notes"' EXIT
expect "$@"
on_each_node "${python[@]}" -m dcam_dist preflight "${expected[@]}" --meet "$endpoint"
[ "$code" = 0 ] || finish "$code"
on_each_node "${python[@]}" -m dcam_dist.launch --nnodes="$nodes" --rdzv-backend=c10d --rdzv-endpoint="$endpoint" \
  --rdzv-id="$PBS_JOBID" --nproc-per-node="$ranks" --max-restarts=0 \
  -m dcam_dist train training.max_minutes="$(((DCAM_SECONDS - SECONDS) / 60))" "$@"
finish "$code"
