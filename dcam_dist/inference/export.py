"""``export``: a finished run as a bundle that goes anywhere."""

from dataclasses import dataclass
from pathlib import Path

from dcam_dist.cohort import Cohort
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.evaluation.stored import evaluation_of
from dcam_dist.inference.model_card import model_card
from dcam_dist.runs import Bundle, RestoredRun, bundle_of_run, open_cohort_of, restore_run, write_bundle
from dcam_dist.runs.bundle import check_bundle_place
from dcam_dist.runs.trained_on import FEWEST


@dataclass(frozen=True, eq=False)
class ExportSummary:
    """What was written.

    Attributes:
        folder: The bundle.
        bundle: Its content.
        scored: Whether the run's evaluation was at hand.
    """

    folder: Path
    bundle: Bundle
    scored: bool

    def lines(self) -> list[str]:
        """For the console."""
        size = sum(path.stat().st_size for path in self.folder.iterdir())
        lines = [f"bundle: {self.folder}, {size / 1e6:.1f} MB, of run {self.bundle.run_sha256[:12]}"]
        if self.bundle.trained_on is None:
            lines.append("without a summary of the training cases: its cohort is not at hand; name it with --cohort")
        if few := [size for size in self.bundle.size_K.tolist() if size < FEWEST]:
            lines.append(
                f"{len(few)} of {len(self.bundle.size_K)} classes have fewer than {FEWEST} training cases ({min(few)} "
                "the fewest): their centroids come near to single patients' features; think before you share it"
            )
        if not self.scored:
            lines.append("without scores: evaluate the run first (dcam-dist evaluate), then export it again")
        return lines


def export_run(run: str | Path, out: str | Path, *, cohort: str | Path | None = None) -> ExportSummary:
    """Write a bundle of a finished run: weights, clusters, settings, a summary of its training cases, a model card.

    Args:
        run: The run's directory; of any method.
        out: The bundle, a folder; an earlier bundle in its place is replaced.
        cohort: Where the cohort is, if not where it was at training.

    Raises:
        UsageError: No finished run, another cohort than the run's, or an ``out`` that holds something else.
        DataError: A damaged run or cohort.
        EnvironmentFault: The bundle cannot be written.
    """
    folder, restored = Path(out), restore_run(run)
    check_bundle_place(folder)
    bundle, evaluated = bundle_of_run(restored, cohort_at_hand(restored, cohort)), evaluation_of(restored)
    scores = {} if evaluated is None else evaluated.rows
    try:
        write_bundle(folder, bundle, model_card(bundle, scores))
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be written ({error.strerror}); choose another --out") from None
    except DataError as error:
        raise DataError(f"{run}: cannot be exported ({error})") from None
    return ExportSummary(folder, bundle, bool(scores))


def cohort_at_hand(run: RestoredRun, moved: str | Path | None = None) -> Cohort | None:
    """The cohort that a run was trained on; ``None`` where it is gone, or is another by now.

    Raises:
        UsageError: When a cohort that is named is another than the run's.
        DataError: When that is damaged.
    """
    try:
        return open_cohort_of(run, moved)
    except (UsageError, DataError):
        if moved is not None:
            raise
        return None
