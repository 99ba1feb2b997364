#!/usr/bin/env bash
# Two hosts on this machine: how they meet, a slow cable, a cut one, a lost node; needs root, iproute2 and iptables.
# Writes tests/netns/results.md. Arguments go to pytest; with any, no page is written.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../support/run_suite.sh" netns "On two hosts" "$@"
