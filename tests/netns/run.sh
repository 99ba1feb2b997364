#!/usr/bin/env bash
# Two hosts on this machine, a cut cable and a lost node; needs root and iproute2. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec .venv/bin/python -m pytest -m netns tests/netns "$@"
