#!/usr/bin/env bash
# Run the benchmarks in a Slurm job, on one node: with a GPU those that need one, else those for a CPU. From the checkout:
#   sbatch --gpus=1 --cpus-per-task=8 --time=01:00:00 launch_scripts/slurm_benchmarks.sh OUT
set -uo pipefail
source launch_scripts/job.sh

cd "${DCAM_CHECKOUT:-.}" || finish 4
if [ "$gpus" -gt 0 ]; then
  run "${on_each_node[@]}" env DCAM_PYTHON="${python[*]}" bash benchmarks/gpu.sh "$1"
else
  run "${on_each_node[@]}" "${python[@]}" -m benchmarks run --out "$1"
fi
finish "$code"
