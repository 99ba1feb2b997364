# shellcheck shell=bash disable=SC2034,SC2154  # variables for the scripts that source it, and one of theirs
# Functions of the batch jobs beside this file; `dcam-dist submit` copies them into the scripts that it renders.
#   DCAM_PYTHON_CMD    words that start Python in a job (default: .venv/bin/python of this checkout)
#   DCAM_ON_EACH_NODE  starts one command on each node of a Slurm job (default: srun with one task a node)
#   DCAM_RANKS         processes of a training on each node (default: one a GPU, or one)
#   DCAM_GPUS          GPUs that each node must have (default: those that Slurm gave; 0: none)
#   DCAM_CORES         cores of each node that the processes share (default: those that Slurm gave)
#   DCAM_HOST_SUFFIX   appended to the name of the first node, where the ranks meet
#   DCAM_REQUEUES      how often the job may go back into the queue (default: 20)
#   DCAM_JOBS          a folder where the job notes when it starts and how it ends, for `dcam-dist status`
read -ra python <<<"${DCAM_PYTHON_CMD:-$PWD/.venv/bin/python}"
read -ra on_each_node <<<"${DCAM_ON_EACH_NODE:-srun --ntasks-per-node=1 --kill-on-bad-exit=0}"
gpus=${DCAM_GPUS:-${SLURM_GPUS_ON_NODE:-0}}
ranks=${DCAM_RANKS:-$((gpus > 0 ? gpus : 1))}
cores=${DCAM_CORES:-${SLURM_CPUS_PER_TASK:-1}}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > ranks ? cores / ranks : 1))}
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # srun has not taken it over since Slurm 22.05

# the number alone would mean all tasks of an array to Slurm, for the task that has the array's own number
job_id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job_id=${job_id:-${SLURM_JOB_ID:-${PBS_JOBID:-${LSB_JOBID:-0}}}}
restart=${SLURM_RESTART_COUNT:-0}

event() { # WHAT DETAIL...: one line for `dcam-dist status`
  [ -z "${DCAM_JOBS:-}" ] || echo "$(date -u +%FT%TZ) $*" >>"$DCAM_JOBS/$job_id.events" || true
}

child='' asked=0
# srun hands SIGUSR1 on to its tasks, which save and leave with 75
trap 'asked=$((asked + 1)); [ -z "$child" ] || kill -USR1 "$child" 2>/dev/null || true' USR1 TERM
export SLURM_EXIT_ERROR=222 # of srun itself, as when it is asked to leave before its step is there

run() { # COMMAND...: run it, unless an end was asked for already, and leave its exit code in $code
  local before
  code=75
  [ "$asked" = 0 ] || return 0
  "$@" &
  child=$!
  [ "$asked" = 0 ] || kill -USR1 "$child" 2>/dev/null || true # it came before there was a child to hand it on to
  while :; do
    before=$asked
    wait "$child" && code=0 || code=$?
    [ "$asked" != "$before" ] || break # else it was a signal that ended the wait
  done
  child=''
  case $code in
  138 | 143) code=75 ;; # ended by SIGUSR1 or SIGTERM, before it could hear of the request
  130 | 222) [ "$asked" = 0 ] && code=4 || code=75 ;;
  esac
}

expect() { # SETTING...: what must hold on every node, as arguments of preflight, in $expected; the run's stop file in $stop_file
  local setting
  expected=(--nodes "$nodes" --gpus "$gpus")
  stop_file=
  for setting in "$@"; do
    case $setting in
    data.cohort=*) expected+=(--cohort "${setting#*=}") ;;
    output=*)
      expected+=(--output "${setting#*=}")
      stop_file=${setting#*=}/stop
      ;;
    esac
  done
}

ask() { # what Slurm says of this job; its controller may be busy
  for _ in 1 2 3; do
    scontrol -o show job "$job_id" 2>/dev/null && return
    sleep 5
  done
}

finish() { # CODE: the end of a Slurm job; one that was asked to leave goes back into the queue
  local code=$1 requeues=${DCAM_REQUEUES:-20} told why
  if [ "$code" = 75 ]; then
    told=$(command -v scontrol >/dev/null && ask)
    if [[ $told =~ Restarts=([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -gt "$restart" ]; then
      event "requeued exit=75 restart=$((restart + 1))" # by Slurm itself
      exit 75
    elif [ -n "${stop_file:-}" ] && [ -e "$stop_file" ]; then
      why="$stop_file asks for it"
    elif ! command -v scontrol >/dev/null; then
      why="scontrol is not here (a container?)"
    elif [ "$restart" -ge "$requeues" ]; then
      why="it has been requeued $restart times already"
    elif [[ $told =~ JobState=(CANCELLED|COMPLETING|TIMEOUT|FAILED|NODE_FAIL|DEADLINE|OUT_OF_MEMORY) ]]; then
      why="it was cancelled"
    else
      event "requeued exit=75 restart=$((restart + 1))"
      scontrol requeue "$job_id" && exit 75
      why="Slurm would not take it back"
    fi
    echo "job: asked to leave; not requeued: $why. Submit it again to go on." >&2
  fi
  event "ended exit=$code"
  exit "$code"
}

event "started host=${SLURMD_NODENAME:-$(hostname)} restart=$restart"
