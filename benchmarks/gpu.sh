#!/usr/bin/env bash
# Everything that needs a GPU: the gpu-marked tests, one training step's time and peak memory, the clustering backends.
#   bash benchmarks/gpu.sh OUT        exit 4 where there is no GPU
set -euo pipefail
out=${1:?usage: bash benchmarks/gpu.sh OUT}
out=$(mkdir -p "$out" && cd "$out" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  echo "gpu.sh: no usable CUDA device (or no torch) for $python; nothing was run" >&2
  exit 4
fi
status=0
"$python" -m pytest tests/gpu -m gpu --junitxml "$out/gpu-tests.xml" || status=$?
"$python" -m benchmarks.training_step --out "$out/training_step.json" || status=$?
# clustering: the contract as a table (cuML where it is installed), then time and memory of all backends
PYTHONPATH=tests "$python" -m benchmarks.clustering_contract --out "$out" || status=$?
if "$python" -c 'import cuml' 2>/dev/null; then
  "$python" -m benchmarks.cuml_signatures --out "$out" || status=$?
fi
"$python" -m benchmarks.gpu_clustering --out "$out" || status=$?
exit "$status"
