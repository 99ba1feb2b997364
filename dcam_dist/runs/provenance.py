"""Where a checkpoint was made: for whoever asks later why two runs differ. Nothing is decided by it."""

import hashlib
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dcam_dist import __version__
from dcam_dist.errors import DcamError
from dcam_dist.runs.run_config import CONFIG, read_run_config

_PACKAGES = ("torch", "numpy", "safetensors", "scikit-learn", "deepspeed")


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """The versions of this package, of Python and of the packages that results hang on, where they are installed."""
    found = {"dcam-dist": __version__, "python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def provenance(run: Path) -> dict[str, Any]:
    """Versions, and of the run's configuration its engine, its seed and the SHA-256 of its file."""
    about: dict[str, Any] = {"versions": versions()}
    with suppress(OSError, DcamError):  # no reason not to save
        config, content = read_run_config(run), (run / CONFIG).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        about |= {"engine": config.training.engine, "seed": config.seed, "config_sha256": digest}
    return about
