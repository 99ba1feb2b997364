#!/usr/bin/env bash
# Run a verb of dcam-dist in a Slurm job, on one node: an ingest, an evaluation, maps, a report.
#   sbatch --cpus-per-task=16 --array=1-12 --requeue --open-mode=append --signal=B:USR1@60 \
#     launch_scripts/slurm_run.sh ingest scans.csv --out cohort.zarr
#   sbatch --gpus=1 --cpus-per-task=8 launch_scripts/slurm_run.sh evaluate runs/dcam
# A task of a job array ingests its part of the scans; call it once more without --array afterwards: that seals the cohort.
#   DCAM_PARTS         how many parts there are, where only some tasks of an array are run again (default: the array's tasks)
set -uo pipefail
source launch_scripts/job.sh

[ -z "${SLURM_ARRAY_TASK_ID:-}" ] || set -- "$@" --part "$SLURM_ARRAY_TASK_ID/${DCAM_PARTS:-$SLURM_ARRAY_TASK_COUNT}"
run "${on_each_node[@]}" "${python[@]}" -m dcam_dist "$@"
finish "$code"
