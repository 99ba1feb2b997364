"""Read a run back for evaluation, maps and inference."""

from dataclasses import dataclass
from pathlib import Path

from dcam_dist.cohort import Cohort, open_cohort
from dcam_dist.config import Config
from dcam_dist.errors import DataError, UsageError
from dcam_dist.models import ClusterNetwork, build_network
from dcam_dist.runs.checkpoint import Checkpoint
from dcam_dist.runs.checkpoints import latest_checkpoint
from dcam_dist.runs.run_config import read_run_config
from dcam_dist.runs.trained_model import TrainedModel
from dcam_dist.types import Assignment


@dataclass(frozen=True, eq=False)
class RestoredRun:
    """A trained run.

    Attributes:
        path: The run's directory.
        config: Its resolved configuration; ``config.data.cohort`` is the cohort it was trained on.
        network: The network with the run's weights, in evaluation mode, on the CPU.
        checkpoint: The newest checkpoint; its ``clustering`` is ``None`` for supervised runs.
        assignment: The closing clusters, or the grades, of the training cases.
    """

    path: Path
    config: Config
    network: ClusterNetwork
    checkpoint: Checkpoint
    assignment: Assignment

    @property
    def model(self) -> TrainedModel:
        """What it does to a scan."""
        return TrainedModel(self.config, self.network, self.checkpoint.clustering)


def restore_run(run: str | Path) -> RestoredRun:
    """Restore a run that has finished.

    Raises:
        UsageError: When there is no run, or its training has not finished.
        DataError: When no checkpoint of it verifies.
    """
    config, checkpoint = read_run_config(run), latest_checkpoint(Path(run))
    if checkpoint is None or not checkpoint.finished:
        raise UsageError(f"{run}: training has not finished; go on with: dcam-dist train --config {run}/config.yaml")
    network = build_network(config)
    prefix = "network."
    weights = {n.removeprefix(prefix): t for n, t in checkpoint.engine.items() if n.startswith(prefix)}
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise DataError(f"{run}: its newest checkpoint holds another network than its config.yaml describes") from None
    if checkpoint.assignment is None:
        raise DataError(f"{run}: its closing checkpoint holds no assignment")
    network.eval()
    return RestoredRun(Path(run), config, network, checkpoint, checkpoint.assignment)


def open_cohort_of(run: RestoredRun, moved: str | Path | None = None) -> Cohort:
    """The cohort that a run was trained on, or its copy at another place.

    Raises:
        UsageError: When there is none, or it has another grid than the run, other labels than a supervised run, or
            other training cases.
    """
    path = moved or run.config.data.cohort
    if path is None:
        raise UsageError(f"{run.path}: its configuration names no cohort; say where it is with --cohort")
    cohort = open_cohort(path)
    relabelled = cohort.description.label_names != run.config.labels.names and run.config.method == "supervised"
    if cohort.description.grid != run.config.grid or relabelled:
        raise UsageError(f"{path}: has another grid or label set than {run.path}; name the cohort of that run")
    check_training_cases(cohort, run.checkpoint)
    return cohort


def open_new_scans(run: RestoredRun, path: str | Path) -> Cohort:
    """A cohort of scans that a run is to be applied to, whichever they are.

    Raises:
        UsageError: When there is none, or it has another grid than the run.
    """
    cohort = open_cohort(path)
    if cohort.description.grid != run.config.grid:
        raise UsageError(
            f"{path}: has another grid than {run.path}; ingest the scans with --config {run.path}/config.yaml"
        )
    return cohort


def check_training_cases(cohort: Cohort, checkpoint: Checkpoint) -> None:
    """Refuse a cohort whose training cases are not those of the checkpoint: test cases may have been trained on.

    Raises:
        UsageError: Says how many differ.
    """
    present = {case.case_id for case in cohort.split("train")}
    if differing := len(present.symmetric_difference(checkpoint.case_id_N)):
        raise UsageError(
            f"{cohort.path}: its training split differs in {differing} cases from the one this run was trained on "
            "(ingested again since?); train anew into another output"
        )
