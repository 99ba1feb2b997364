"""Linters of the environment that the tests run in, and the files that git tracks."""

import subprocess
import sys
from pathlib import Path

RENDERED = "--exclude=SC2016,SC2034,SC2154,SC2329"
"""A rendered job holds all functions and variables of job.sh, of which it uses some, and quotes what a node expands."""


def linter(name: str, *arguments: str | Path, stdin: str | None = None, cwd: Path) -> str:
    """What a linter finds: nothing where all is well. Raises where it cannot run."""
    program = Path(sys.executable).parent / name
    done = subprocess.run([program, *arguments], input=stdin, cwd=cwd, capture_output=True, text=True, check=False)
    found = done.stdout + done.stderr
    assert bool(found.strip()) == bool(done.returncode), f"{name} ended with {done.returncode}: {found}"
    return found


def shellcheck(*arguments: str | Path, stdin: str | None = None, cwd: Path) -> str:
    return linter("shellcheck", "--severity=style", "--format=gcc", *arguments, stdin=stdin, cwd=cwd)


def tracked(repository: Path) -> list[Path]:
    """The files that git tracks, relative to the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True)
    return [Path(name) for name in listed.stdout.split("\0") if name and (repository / name).is_file()]
