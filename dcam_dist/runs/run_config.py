"""``RUN/config.yaml``: the resolved configuration of a run."""

from pathlib import Path

from dcam_dist.config import Config, dump_config, load_config
from dcam_dist.errors import UsageError

CONFIG = "config.yaml"
UNFINISHED = ".config.yaml"


def read_run_config(run: str | Path) -> Config:
    """The resolved configuration of a run.

    Raises:
        UsageError: When there is no run at the path.
    """
    file = Path(run) / CONFIG
    if not file.is_file():
        raise UsageError(f"{run}: no run here; make one with: torchrun -m dcam_dist train output={run} …")
    return load_config(file).model_copy(update={"output": Path(run)})


def write_run_config(run: Path, config: Config) -> None:
    """Write it; at any time and after a power cut there is either the old or the new one.

    Raises:
        OSError: When the directory cannot be written.
    """
    replace_file(run / CONFIG, dump_config(config).encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file of a run so that it is never half written.

    Raises:
        OSError: When it cannot be written.
    """
    from dcam_dist.cohort.durable import sync, write_file  # with it come Zarr and Dask, which readers do without

    side = path.with_name(f".{path.name}")
    side.unlink(missing_ok=True)
    write_file(side, content)
    side.replace(path)
    sync(path.parent)
