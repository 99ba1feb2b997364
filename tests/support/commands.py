"""Commands that answer as those of another machine would: real scripts in a folder of their own."""

from pathlib import Path


def commands_in(folder: Path, **scripts: str) -> str:
    """Write each as a shell script; returns a ``PATH`` with these and the shell's own tools."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)
