#!/usr/bin/env bash
# Train on all nodes of a Slurm job; arguments go to `dcam-dist train`. From the checkout, which all nodes see:
#   sbatch --nodes=2 --ntasks-per-node=1 --gpus-per-node=4 --cpus-per-task=32 --time=24:00:00 --signal=B:USR1@300 --requeue \
#     --open-mode=append launch_scripts/slurm_train.sh --config configs/paper.yaml data.cohort=cohort.zarr output=runs/dcam
# `dcam-dist submit` writes that line for your site. Asked to leave (exit code 75), the job goes back into the queue, unless
# output/stop is there. Give data.cohort and output as arguments, not in the file: they are looked at before the work.
set -uo pipefail
source launch_scripts/job.sh

first_node() { # the address where the ranks meet
  local name address
  name=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
  if [ -z "${DCAM_HOST_SUFFIX:-}" ] && ! getent hosts "$name" >/dev/null; then
    address=$(scontrol -o show node "$name" | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p') # as Slurm itself reaches it
  fi
  address=${address:-$name${DCAM_HOST_SUFFIX:-}}
  [[ $address == *:* ]] && address="[$address]"
  echo "$address"
}

nodes=${SLURM_JOB_NUM_NODES:?this is a batch job: hand it to sbatch}
expect "$@"
meeting=(--standalone)
if [ "$nodes" -gt 1 ]; then
  endpoint=$(first_node):$((12000 + SLURM_JOB_ID % 20000))
  expected+=(--meet "$endpoint")
  meeting=(--nnodes="$nodes" --rdzv-backend=c10d --rdzv-endpoint="$endpoint" --rdzv-id="$SLURM_JOB_ID.$restart")
fi

run "${on_each_node[@]}" "${python[@]}" -m dcam_dist preflight "${expected[@]}"
[ "$code" = 0 ] || finish "$code"
run "${on_each_node[@]}" "${python[@]}" -m dcam_dist.launch "${meeting[@]}" --nproc-per-node="$ranks" --max-restarts=0 \
  -m dcam_dist train "$@"
finish "$code"
