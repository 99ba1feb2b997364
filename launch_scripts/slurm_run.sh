#!/usr/bin/env bash
# Run one Python module of this package in a Slurm job, on one node: an ingest, an evaluation, maps, benchmarks.
#   sbatch --cpus-per-task=16 --array=1-12 --requeue --signal=B:USR1@60 launch_scripts/slurm_run.sh dcam_dist ingest scans.csv --out cohort.zarr
#   sbatch --gpus=1 --cpus-per-task=8 launch_scripts/slurm_run.sh dcam_dist evaluate runs/dcam
#   sbatch --gpus=1 --cpus-per-task=8 launch_scripts/slurm_run.sh benchmarks run --out results
# A task of a job array ingests its part of the scans; call it once more without --array afterwards: that seals the cohort.
set -uo pipefail
source launch_scripts/job.sh

part=()
[ -z "${SLURM_ARRAY_TASK_ID:-}" ] || part=(--part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT")
run "${on_each_node[@]}" "${python[@]}" -m "$@" "${part[@]}"
finish "$code"
