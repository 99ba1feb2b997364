"""A batch job's script: a scheduler's header, the site's environment, and the text of a script of ``launch_scripts``.

The text is copied in, not called, so that a job that waits in the queue does what was looked at when it was submitted.
"""

import shlex
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from dcam_dist.config.site import Site
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.hpc.headers import header
from dcam_dist.hpc.job import BatchJob

CHECKOUT = Path(__file__).parents[2]
_FOLDER = "launch_scripts"
_SOURCED = f"source {_FOLDER}/job.sh"


def render(job: BatchJob, site: Site) -> str:
    """The whole script.

    Raises:
        UsageError: When the interpreter's path has spaces.
        EnvironmentFault: When the script of ``launch_scripts`` cannot be read.
    """
    lines = [
        "#!/bin/bash",
        *header(job, site),
        "",
        f"# Made by dcam-dist submit for the job {job.name}; the work itself is {_FOLDER}/{job.body}.",
        "umask 077",
        f"cd {shlex.quote(str(Path.cwd()))} || exit 4",
        *(f"export {name}={shlex.quote(value)}" for name, value in _environment(job, site).items()),
        f"set -- {shlex.join(job.arguments)}",
        "",
        f"# ---- {_FOLDER}/{job.body} ----",
        _body(job.body, site.prologue),
    ]
    return "\n".join(lines)


def _environment(job: BatchJob, site: Site) -> dict[str, str]:
    if not site.container and " " in site.interpreter:
        raise UsageError(f"{site.interpreter}: a path with spaces; set python in the site file to one without")
    interface = {"GLOO_SOCKET_IFNAME": site.interface, "NCCL_SOCKET_IFNAME": site.interface} if site.interface else {}
    return {
        **interface,
        **site.environment,
        "DCAM_PYTHON_CMD": site.interpreter,
        **({"DCAM_ON_EACH_NODE": site.launcher_cmd} if site.scheduler == "slurm" else {}),
        "DCAM_RANKS": str(job.ranks),
        "DCAM_GPUS": str(job.gpus),
        "DCAM_CORES": str(job.cores),
        "DCAM_HOST_SUFFIX": site.hostname_suffix,
        "DCAM_JOBS": str(job.folder),
        "DCAM_REQUEUES": str(site.requeues),
        **job.environment,
    }


def _body(name: str, prologue: Sequence[str]) -> str:
    """The prologue comes after what hears signals and notes the end."""
    checked = ["trap 'finish 4' ERR", *prologue, "trap - ERR"] if prologue else []
    inlined = [f"# ---- {_FOLDER}/job.sh ----", _text("job.sh").rstrip("\n"), "# ---- end of job.sh ----", *checked]
    return _text(name).replace(_SOURCED, "\n".join(inlined))


def _text(name: str) -> str:
    """Without the lines at the top that speak to whoever reads the file itself."""
    path = _find(name)
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise EnvironmentFault(f"{path}: {error.strerror}; install the package anew") from None
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "".join(lines[first:])


def _find(name: str) -> Path:
    """Beside the package in a checkout, else where pip has put it."""
    beside = CHECKOUT / _FOLDER / name
    if beside.exists():
        return beside
    installed = (file for file in metadata.files("dcam-dist") or () if file.parts[-2:] == (_FOLDER, name))
    return next((Path(str(file.locate())) for file in installed), beside)
