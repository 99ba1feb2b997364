#!/usr/bin/env bash
# Two hosts on this machine: how they meet, a slow cable, a cut one, a lost node; needs root, iproute2 and iptables.
# Arguments go to pytest.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
exec .venv/bin/python -m pytest -m netns tests/netns "$@"
