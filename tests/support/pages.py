"""Shell blocks of a page of the docs, run as they are written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.processes import REPOSITORY

BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(page: str) -> list[str]:
    """The blocks of ``docs/PAGE`` that are marked as bash."""
    return BLOCK.findall((REPOSITORY / "docs" / page).read_text(encoding="utf-8"))


def run_block(block: str, folder: Path) -> str:
    """What a block says; it is run in a folder that holds ``configs``, with ``dcam-dist`` of this very tree."""
    program = folder / "bin" / "dcam-dist"
    if not program.exists():
        shutil.copytree(REPOSITORY / "configs", folder / "configs")
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m dcam_dist "$@"\n')
        program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{block}"],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
