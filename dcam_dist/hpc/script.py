"""A batch job's script: a scheduler's header, the site's environment, and the text of a script of ``launch_scripts``.

The text is copied in, not called, so that a job that waits in the queue does what was looked at when it was submitted.
"""

import shlex
import sys
from pathlib import Path

from dcam_dist.config.site import Site
from dcam_dist.errors import EnvironmentFault
from dcam_dist.hpc.headers import header
from dcam_dist.hpc.job import BatchJob

CHECKOUT = Path(__file__).parents[2]
INSTALLED = Path(sys.prefix, "share", "dcam_dist", "launch_scripts")
"""Where pip puts the scripts, for a package that does not lie in its checkout."""
_SOURCED = "source launch_scripts/job.sh"


def render(job: BatchJob, site: Site) -> str:
    """The whole script.

    Raises:
        EnvironmentFault: When the script of ``launch_scripts`` cannot be read.
    """
    lines = [
        "#!/bin/bash",
        *header(job, site),
        "",
        f"# Made by dcam-dist submit for the job {job.name}; the work itself is launch_scripts/{job.body}.",
        "umask 077",
        f"cd {shlex.quote(str(Path.cwd()))} || exit 4",
        *(f"export {name}={shlex.quote(value)}" for name, value in _environment(job, site).items()),
        *site.prologue,
        f"set -- {shlex.join(job.arguments)}",
        "",
        f"# ---- launch_scripts/{job.body} ----",
        _body(job.body),
    ]
    return "\n".join(lines)


def _environment(job: BatchJob, site: Site) -> dict[str, str]:
    interface = {"GLOO_SOCKET_IFNAME": site.interface, "NCCL_SOCKET_IFNAME": site.interface} if site.interface else {}
    slurm = {"DCAM_ON_EACH_NODE": site.launcher_cmd, "DCAM_REQUEUES": str(site.requeues), **job.environment}
    return {
        **interface,
        **site.environment,
        "DCAM_PYTHON_CMD": site.interpreter,
        "DCAM_RANKS": str(job.ranks),
        "DCAM_GPUS": str(job.gpus),
        "DCAM_HOST_SUFFIX": site.hostname_suffix,
        "DCAM_JOBS": str(job.folder),
        **(slurm if site.scheduler == "slurm" else {}),
    }


def _body(name: str) -> str:
    body = _text(name)
    return body.replace(_SOURCED, f"# ---- launch_scripts/job.sh ----\n{_text('job.sh')}# ---- end of job.sh ----")


def _text(name: str) -> str:
    """Without the lines at the top that speak to whoever reads the file itself."""
    beside = CHECKOUT / "launch_scripts"
    path = (beside if beside.is_dir() else INSTALLED) / name
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise EnvironmentFault(f"{path}: {error.strerror}; install the package anew") from None
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "".join(lines[first:])
