#!/usr/bin/env bash
# Everything that needs a GPU, in under 9 minutes: the gpu-marked tests, memory under a 40 GB cap beside the prediction,
# throughput, peers, and clustering. What is not installed is named and left out, and so is what takes too long.
#   bash benchmarks/gpu.sh OUT        exit code 4 where there is no GPU; else of the worst step
#   DCAM_PYTHON                       the interpreter (default: .venv/bin/python, or python3)
set -euo pipefail
out=${1:?usage: bash benchmarks/gpu.sh OUT}
out=$(mkdir -p "$out" && cd "$out" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${DCAM_PYTHON:-.venv/bin/python}
[ -x "$(command -v "$python")" ] || python=python3
if ! card=$("$python" -c 'import torch; print(torch.cuda.get_device_name())' 2>/dev/null); then
  echo "gpu.sh: no usable CUDA device (or no torch) for $python; nothing was run" >&2
  exit 4
fi
case $card in
*A100*) profile=a100 ;;
*H100* | *H200*) profile=h100 ;;
*) profile= ;;
esac
status=0
log=$out/steps.tsv
printf 'step\tseconds\texit\n' >"$log"

left_out() { # NAME WHY
  echo "gpu.sh: $1 is left out: $2" >&2
  printf '%s\t0\tleft out: %s\n' "$1" "$2" >>"$log"
}

missing() { # MODULE… : those that cannot be imported
  "$python" - "$@" <<'PYTHON'
import importlib.util, sys
print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))
PYTHON
}

step() { # NAME SECONDS "MODULE…" COMMAND… : run it unless a module is missing; no longer than so many seconds
  local name=$1 limit=$2 needed=$3 lacks code=0 began=$SECONDS
  shift 3
  # shellcheck disable=SC2086  # a list of modules
  lacks=$(missing $needed)
  if [ -n "$lacks" ]; then
    left_out "$name" "not installed: $lacks"
    return
  fi
  echo "gpu.sh: $name (at most $limit s)"
  timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1 || code=$?
  [ "$code" = 124 ] && echo "gpu.sh: $name took longer than $limit s and was stopped" >&2
  tail -n 3 "$out/$name.log"
  printf '%s\t%s\t%s\n' "$name" "$((SECONDS - began))" "$code" >>"$log"
  [ "$code" -le "$status" ] || status=$code
}

base="pydantic yaml numpy psutil matplotlib sklearn"
export PYTHONPATH="$PWD:$PWD/tests${PYTHONPATH:+:$PYTHONPATH}"
echo "gpu.sh: $card, results in $out"
step tests 110 "$base pytest zarr dask" "$python" -m pytest tests/gpu -m gpu -p no:cacheprovider --junitxml "$out/gpu-tests.xml"
if [ -n "$profile" ]; then
  suite=("$python" -m benchmarks run --profile "$profile" --out "$out")
  step throughput 50 "$base" "${suite[@]}" throughput
  step peers_step 50 "$base" "${suite[@]}" peers_step
  step memory 150 "$base" "${suite[@]}" memory
else
  left_out "throughput, peers_step, memory" "there is no profile for $card"
fi
step gpu_clustering 75 "$base" "$python" -m benchmarks.gpu_clustering --out "$out" --rows 100000 1000000 --clusters 6
step clustering_contract 25 "$base zarr dask" "$python" -m benchmarks.clustering_contract --out "$out"
step cuml_signatures 15 "$base cuml" "$python" -m benchmarks.cuml_signatures --out "$out"
column -t -s "$(printf '\t')" "$log" 2>/dev/null || cat "$log"
exit "$status"
