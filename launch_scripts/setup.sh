#!/usr/bin/env bash
# Set up .venv with the pinned packages, once. Sourced by the other scripts; does nothing when all is there.
#   DCAM_PYTHON    the interpreter to use (default: python3.12, 3.11, 3.13, or python3, the first there)
#   DCAM_PIP_ARGS  further arguments of pip, e.g. another index that serves the CPU build of torch
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
  local name
  for name in ${DCAM_PYTHON:-} python3.12 python3.11 python3.13 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "setup: Python 3.11 or newer is needed; install it, or name it with DCAM_PYTHON=…" >&2
  exit 4
}

make_venv() {
  local python=$1
  "$python" -m venv .venv 2>/dev/null && return
  rm -rf .venv
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: the Debian package python3-venv is missing, installing it"
    apt-get update -qq && apt-get install -qq -y --no-install-recommends python3-venv >/dev/null
    "$python" -m venv .venv
  else
    echo "setup: $python cannot make a virtual environment; install python3-venv" >&2
    exit 4
  fi
}

say_if_cuda() {
  # asks the index what it would install, without downloading it
  local plan
  # shellcheck disable=SC2086  # DCAM_PIP_ARGS holds several arguments
  plan=$(.venv/bin/python -m pip install --dry-run --quiet --ignore-installed --report - -c constraints/cpu.txt \
    ${DCAM_PIP_ARGS:-} torch 2>/dev/null) || return 0
  if grep -q '"name": "nvidia-' <<<"$plan"; then
    echo "setup: this package index serves torch's CUDA build: several GB of nvidia-* packages will be downloaded."
    echo "setup: it runs on a CPU as well; for the small CPU build stop here and set DCAM_PIP_ARGS to an index that has it."
  fi
}

install() {
  local python
  python=$(find_python)
  echo "setup: installing the pinned packages into .venv (a few minutes, once)"
  [ -x .venv/bin/python ] || make_venv "$python"
  say_if_cuda
  # shellcheck disable=SC2086  # DCAM_PIP_ARGS holds several arguments
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints/cpu.txt ${DCAM_PIP_ARGS:-} -e '.[dev,mlflow]'
  cat pyproject.toml constraints/cpu.txt | sha256sum >.venv/installed
}

wanted=$(cat pyproject.toml constraints/cpu.txt | sha256sum)
if [ ! -f .venv/installed ] || [ "$(cat .venv/installed)" != "$wanted" ]; then
  install
fi
