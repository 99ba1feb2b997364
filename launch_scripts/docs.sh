#!/usr/bin/env bash
# The docs site into site/, and how to look at it; arguments go to `mkdocs build`.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --quiet "$@"
echo "built: open site/index.html in a browser; it needs no server and no network"
