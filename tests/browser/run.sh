#!/usr/bin/env bash
# The pages that people look at, in a real browser: the quality page, the report of generated and of real scans, its viewer, the docs site.
# Installs Debian's chromium where it is missing, so as root. Writes tests/browser/results.md. Arguments go to pytest; with any, no page is
# written.
set -euo pipefail
if ! command -v chromium >/dev/null; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
exec bash "$(dirname "${BASH_SOURCE[0]}")/../support/run_suite.sh" browser "In a browser" "$@"
