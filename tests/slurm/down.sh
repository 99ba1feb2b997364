#!/usr/bin/env bash
# Stop what up.sh started, its jobs first.   tests/slurm/down.sh DIR
set -uo pipefail
dir=${1:?usage: down.sh DIR}
SLURM_CONF=$dir/slurm.conf scancel --state=PENDING,RUNNING --user=root 2>/dev/null
for ((try = 0; try < 50; try++)); do
  [ -z "$(SLURM_CONF=$dir/slurm.conf squeue --noheader 2>/dev/null)" ] && break
  sleep 0.1
done
for name in n1 n2 slurmctld munged; do
  [ -s "$dir/pid/$name.pid" ] && kill "$(cat "$dir/pid/$name.pid")" 2>/dev/null
done
for environment in /proc/[0-9]*/environ; do # tasks that a node which was called down has left
  if grep -szqxF "SLURM_CONF=$dir/slurm.conf" "$environment" && grep -szq '^SLURM_JOB_ID=' "$environment"; then
    kill -KILL "$(basename "$(dirname "$environment")")" 2>/dev/null
  fi
done
exit 0
