"""``faithfulness``: measure runs, write what was found, and say it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcam_dist.cohort import Cohort
from dcam_dist.cohort.layout import write_json
from dcam_dist.distributed import open_processes
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.maps.faithfulness.example import choose, make_example
from dcam_dist.maps.faithfulness.figure import write_figure
from dcam_dist.maps.faithfulness.files import run_to_json
from dcam_dist.maps.faithfulness.journal import JOURNAL
from dcam_dist.maps.faithfulness.measure import RunMeasures, measure_run
from dcam_dist.maps.faithfulness.report import render
from dcam_dist.maps.faithfulness.targets import LESIONS, find_lesions
from dcam_dist.maps.faithfulness.verdicts import verdicts
from dcam_dist.runs import RestoredRun, open_cohort_of, restore_run

JSON_FILE, TABLE_FILE, FIGURE = "faithfulness.json", "faithfulness.md", "faithfulness.png"
Looked = tuple[RestoredRun, RunMeasures]


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """What measuring some runs came to.

    Attributes:
        runs: What was found of each, by its name.
        files: What was written.
        verdicts: What may be concluded, a sentence a line.
    """

    runs: Mapping[str, RunMeasures]
    files: tuple[Path, ...]
    verdicts: tuple[str, ...]


def faithfulness(
    runs: Sequence[str | Path],
    *,
    cohort: str | Path | None = None,
    lesions: str | Path | None = None,
    cases: int | None = None,
    out: str | Path | None = None,
) -> Faithfulness:
    """Measure how far the maps of finished runs can be trusted; writes ``faithfulness.json``, ``.md`` and ``.png``.

    Args:
        runs: Finished runs of one cohort; several can be compared.
        cohort: Where the cohort is now, when it has moved since training.
        lesions: A folder with ``CASE/lesion_mask.nii.gz``; ``None``: what is said of lesions is left out.
        cases: At most so many of each split, spread evenly over it; ``None``: all.
        out: A folder for the comparison of all runs: the same three files.

    Raises:
        UsageError: No run, no cohort or no lesion mask at a path, two runs of one name, or runs of several cohorts
            in one comparison.
        DataError: A checkpoint, a stored volume or a lesion mask is damaged.
        EnvironmentFault: The files cannot be written.
    """
    if cases is not None and cases < 1:
        raise UsageError(f"--cases {cases}: at least one of each split")
    restored = [restore_run(run) for run in runs]
    opened = [open_cohort_of(run, cohort) for run in restored]
    names = _names(restored)
    if out is not None and len({tuple(c.case_id for c in one.cases) for one in opened}) > 1:
        raise UsageError("the runs are of different cohorts; compare those of one cohort, or leave --out away")
    folder = None if lesions is None else Path(lesions)
    masks = [find_lesions(folder, store) for store in opened]
    looked: dict[str, Looked] = {}
    files: list[Path] = []
    for name, run, store, known in zip(names, restored, opened, masks, strict=True):
        looked[name] = run, _measured(run, store, known, cases)
        files += write({name: looked[name]}, store, known, run.path)
    if out is not None:
        files += write(looked, opened[0], masks[0], Path(out))
    for run in restored:  # only now: of several runs, those that are done are not measured again either
        (run.path / JOURNAL).unlink(missing_ok=True)
    found = {name: measures for name, (_, measures) in looked.items()}
    return Faithfulness(found, tuple(files), tuple(verdicts(found)))


def write(looked: Mapping[str, Looked], cohort: Cohort, lesions: Mapping[str, Path], folder: Path) -> list[Path]:
    """Write what was found of one run, or of several as a comparison.

    Args:
        looked: Runs of one cohort with their measures, by name.
        cohort: The cohort.
        lesions: Lesion masks by case id.
        folder: Where the three files go; made where it is missing.

    Raises:
        EnvironmentFault: When it cannot be written.
    """
    runs = {name: measures for name, (_, measures) in looked.items()}
    first = next(iter(runs.values()))
    target = LESIONS if LESIONS in first.targets else "laa950"
    examples = [make_example(looked, cohort, case_id, lesions) for case_id in choose(first.reported, target)]
    trees = {name: run_to_json(run) for name, run in runs.items()}
    files = [folder / name for name in (JSON_FILE, TABLE_FILE, FIGURE)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(files[0], next(iter(trees.values())) if len(trees) == 1 else {"runs": trees})
        files[1].write_text(render(runs, FIGURE), encoding="utf-8")
        write_figure(runs, examples, files[2])
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be written ({error.strerror})") from None
    return files


def _measured(run: RestoredRun, cohort: Cohort, lesions: Mapping[str, Path], cases: int | None) -> RunMeasures:
    with open_processes(run.config.training.timeout_s) as context:
        run.network.to(context.device)
        found = measure_run(run, cohort, lesions, cases)
        run.network.to("cpu")
    return found


def _names(runs: Sequence[RestoredRun]) -> list[str]:
    names = [run.config.method if len(runs) == 1 else run.path.resolve().name for run in runs]
    if len(set(names)) != len(names):
        raise UsageError(
            f"two runs are called {max(names, key=names.count)!r}; the comparison tells them apart by name"
        )
    return names
