"""What was found once, in the folder ``regressions``: ``EXPECTED--what-it-is.suffix``, each one file."""

import shutil
from functools import cache
from pathlib import Path

from fuzz import config_inputs
from fuzz.scan_path import run_scans
from fuzz.scratch import CANARY, Input, Target

FOLDER = Path(__file__).with_name("regressions")


@cache
def regressions() -> tuple[Path, ...]:
    """The files, in a stable order; the seed of an input is its number."""
    return tuple(sorted(FOLDER.iterdir()))


def prepare(folder: Path) -> None:
    """Nothing."""
    folder.mkdir(parents=True, exist_ok=True)


def make(made: Input, _: Path) -> None:
    """The file, under the name that its kind needs."""
    source = regressions()[made.seed]
    names = {".yaml": "config.yaml", ".csv": "cases.csv"}
    shutil.copy(source, made.scans / names.get(source.suffix, f"{CANARY}{source.suffix}"))
    made.mutation = source.name


def run(made: Input) -> None:
    """As its kind is run; the first outcome is in the name."""
    (config_inputs.run if (made.scans / "config.yaml").exists() else run_scans)(made)
    expected = made.mutation.partition("--")[0]
    if made.outcomes[:1] != [expected]:
        made.problems.append(f"{made.outcomes} instead of {expected}")


TARGET = Target(prepare, make, run)
