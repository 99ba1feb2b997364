# shellcheck shell=bash disable=SC2034  # the variables are for the scripts that source it
# Functions of the batch jobs beside this file; `dcam-dist submit` copies them into the scripts that it renders.
#   DCAM_PYTHON_CMD    words that start Python in a job (default: .venv/bin/python of this checkout)
#   DCAM_ON_EACH_NODE  starts one command on each node (default: srun with one task a node)
#   DCAM_RANKS         processes of a training on each node (default: one a GPU, or one)
#   DCAM_GPUS          GPUs that each node must have (default: those that Slurm gave; 0: none)
#   DCAM_HOST_SUFFIX   appended to the name of the first node, where the ranks meet
#   DCAM_REQUEUES      how often the job may go back into the queue (default: 20)
#   DCAM_JOBS          a folder where the job notes when it starts and how it ends, for `dcam-dist status`
read -ra python <<<"${DCAM_PYTHON_CMD:-$PWD/.venv/bin/python}"
read -ra on_each_node <<<"${DCAM_ON_EACH_NODE:-srun --ntasks-per-node=1 --kill-on-bad-exit=0}"
export DCAM_GPUS=${DCAM_GPUS:-${SLURM_GPUS_ON_NODE:-0}}
export DCAM_RANKS=${DCAM_RANKS:-$((DCAM_GPUS > 0 ? DCAM_GPUS : 1))}
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # srun has not taken it over since Slurm 22.05
restart=${SLURM_RESTART_COUNT:-0}

event() { # WHAT DETAIL...: one line for `dcam-dist status`
  local job=${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-0}}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
  [ -z "${DCAM_JOBS:-}" ] || echo "$(date -u +%FT%TZ) $*" >>"$DCAM_JOBS/$job.events" || true
}

child='' asked=0
# srun hands SIGUSR1 on to its tasks, which save and leave with 75
trap 'asked=$((asked + 1)); [ -z "$child" ] || kill -USR1 "$child" 2>/dev/null || true' USR1 TERM

run() { # COMMAND...: run it, unless an end was asked for already, and leave its exit code in $code
  local before
  code=75
  [ "$asked" = 0 ] || return 0
  "$@" &
  child=$!
  while :; do
    before=$asked
    wait "$child" && code=0 || code=$?
    [ "$asked" != "$before" ] || break # else it was a signal that ended the wait
  done
  child=
}

finish() { # CODE: the end of the job; one that was asked to leave goes back into the queue
  local code=$1 requeues=${DCAM_REQUEUES:-20} why=
  if [ "$code" = 75 ]; then
    if ! command -v scontrol >/dev/null; then
      why="scontrol is not here (a container?)"
    elif [ "$restart" -ge "$requeues" ]; then
      why="it has been requeued $restart times already"
    elif [ -n "${stop_file:-}" ] && [ -e "$stop_file" ]; then
      why="$stop_file asks for it"
    elif [[ "$(scontrol -o show job "$SLURM_JOB_ID")" != *JobState=RUNNING* ]]; then
      why="it was cancelled, or Slurm requeues it itself"
    else
      event "requeued exit=75 restart=$((restart + 1))"
      scontrol requeue "$SLURM_JOB_ID" && exit 75
      why="Slurm would not take it back"
    fi
    echo "job: asked to leave and saved; not requeued: $why. Submit it again to go on." >&2
  fi
  event "ended exit=$code"
  exit "$code"
}

event "started host=${SLURMD_NODENAME:-$(hostname)} restart=$restart"
