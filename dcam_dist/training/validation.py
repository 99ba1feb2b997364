"""The network's answer for the cases kept out of supervised training, after each of its epochs."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from dcam_dist.distributed import ProcessContext, all_true, broadcast_array
from dcam_dist.errors import DataError
from dcam_dist.metrics import weighted_kappa
from dcam_dist.models import ClusterNetwork
from dcam_dist.training.class_weights import class_weights
from dcam_dist.training.extract import extract_readable
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.state import CycleState

TOLERANCE = 1e-3  # of a loss that machines of different kinds compute from the same weights


@dataclass(frozen=True)
class Validation:
    """How the network does on the cases kept out; the same on every rank.

    Attributes:
        loss: Cross entropy with the grades weighted as in training: each grade the same where ``training.balance`` or
            ``supervised.class_weights`` is on, each case the same otherwise. NaN without a case.
        accuracy: Share of the cases whose grade is the head's most probable one.
        kappa: Linearly weighted κ over the whole label set.
        cases: How many could be read.
    """

    loss: float
    accuracy: float
    kappa: float
    cases: int

    def metrics(self) -> dict[str, float | int]:
        """The figures under the names of ``metrics.jsonl``."""
        return {
            "validation_loss": self.loss,
            "validation_accuracy": self.accuracy,
            "validation_kappa": self.kappa,
            "validation_cases": self.cases,
        }


def validate(job: TrainingJob, state: CycleState) -> Validation:
    """Judge the present weights, in evaluation mode on whole volumes. All ranks call together.

    Cases found damaged are set aside.

    Args:
        job: Network, data and the cases kept out.
        state: Where the run stands, for a checkpoint in between.

    Raises:
        DataError: When too many cases are damaged, or the ranks hold different networks.
        StopRequested: When the run was asked to leave; it has saved.
    """
    wanted = [
        case_id
        for case_id, kept_out in zip(job.case_id_N, job.validation_N, strict=True)
        if kept_out and case_id not in job.aside
    ]
    network = job.engine.network
    found = extract_readable(
        network,
        job.cohort,
        wanted,
        job.config.data,
        job.context,
        last_relu=True,
        on_volumes=lambda *_: _meet(job, state),
    )
    job.aside.add(found.damaged, state.position.epoch, "validate")
    row_of = {case_id: row for row, case_id in enumerate(job.case_id_N)}
    rows = [row_of[case_id] for case_id in found.table.case_id_N]
    own = judge(network, found.table.features_NC, job.grade_N[rows], _weight_of_grades(job))
    return agreed(own, job.context)


def _meet(job: TrainingJob, state: CycleState) -> None:
    job.boundary.cross(state.position, lambda: state)


@torch.no_grad()
def judge(
    network: ClusterNetwork,
    features_NC: NDArray[np.float32],
    grade_N: NDArray[np.int64],
    weight_K: NDArray[np.float32] | None,
) -> Validation:
    """Compare the head's answers with the grades.

    Args:
        network: Its head.
        features_NC: Pooled features, after the last ReLU.
        grade_N: The same cases' grades, none negative.
        weight_K: Weight of each grade in the loss, which is Σ w·l / Σ w over the cases; ``None``: all the same.
    """
    if not len(grade_N):
        return Validation(float("nan"), float("nan"), float("nan"), 0)
    features = torch.from_numpy(features_NC).to(network.head.weight.device)
    logits_NK = network.classify(features).double().cpu()
    weight = None if weight_K is None else torch.from_numpy(weight_K).double()
    loss = float(F.cross_entropy(logits_NK, torch.from_numpy(grade_N), weight=weight))
    answer_N = logits_NK.argmax(dim=1).numpy()
    kappa = weighted_kappa(answer_N, grade_N, labels=logits_NK.shape[1])
    return Validation(loss, float((answer_N == grade_N).mean()), kappa, len(grade_N))


def _weight_of_grades(job: TrainingJob) -> NDArray[np.float32] | None:
    config = job.config
    if not (config.training.balance or config.supervised.class_weights == "balanced"):
        return None
    return class_weights(np.where(job.validation_N, -1, job.grade_N), config.classes, "balanced")


def agreed(own: Validation, context: ProcessContext) -> Validation:
    """Rank 0's figures on every rank, to the bit, for training must end on all ranks in the same epoch.

    Args:
        own: This rank's figures; all ranks call together.
        context: This process.

    Raises:
        DataError: When a rank's own loss is another: its weights must be.
    """
    figures = np.array([own.loss, own.accuracy, own.kappa])
    loss, accuracy, kappa = broadcast_array(figures.view(np.int64), context).view(np.float64).tolist()
    same = bool(np.isclose(own.loss, loss, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))
    if not all_true(same, context):
        raise DataError(f"rank {context.rank}: the ranks hold different networks, or read different volumes")
    return Validation(loss, accuracy, kappa, own.cases)
