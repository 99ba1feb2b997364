#!/usr/bin/env bash
# Run the benchmark suite on this machine: on a GPU those that need one, else those for a CPU.   launch_scripts/benchmarks.sh OUT [NAME...]
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
out=${1:?usage: benchmarks.sh OUT [NAME...]}
shift
if [ $# = 0 ] && nvidia-smi --list-gpus 2>/dev/null | grep -q .; then
  exec bash benchmarks/gpu.sh "$out"
fi
exec .venv/bin/python -m benchmarks run "$@" --out "$out"
