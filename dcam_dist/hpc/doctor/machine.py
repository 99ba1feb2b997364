"""Where a check looks, so that a test can show it another machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """The roots of what is read.

    Attributes:
        folder: The current one.
        variables: The environment; ``PATH`` in it is where commands are looked for.
        proc: Linux's process file system.
        sys: Linux's devices.
        dev: Device files.
        cgroup: Where control groups are mounted.
        root: For the marks that container runtimes leave.
        pins: Folder of the pinned package sets; it is there in a checkout only.
    """

    folder: Path = field(default_factory=Path.cwd)
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    cgroup: Path = Path("/sys/fs/cgroup")
    root: Path = Path("/")
    pins: Path = Path(__file__).parents[3] / "constraints"

    def path_of(self, variable: str, otherwise: str) -> Path:
        """The path that a variable names, or the usual one."""
        return self.folder / Path(self.variables.get(variable) or otherwise).expanduser()

    @property
    def home(self) -> Path:
        """The user's home."""
        return self.path_of("HOME", "~")

    @property
    def temporary(self) -> Path:
        """Where temporary files go."""
        return self.path_of("TMPDIR", "/tmp")  # noqa: S108 - the usual one, only looked at


def text_of(path: Path) -> str:
    """A small file's text; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
