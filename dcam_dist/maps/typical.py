"""The most typical training cases of each class."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dcam_dist.cohort import Cohort
from dcam_dist.distributed import ProcessContext
from dcam_dist.maps.compute import Floats, softmax
from dcam_dist.models import ClusterNetwork
from dcam_dist.runs import RestoredRun
from dcam_dist.training import extract_features
from dcam_dist.types import UNASSIGNED


@dataclass(frozen=True)
class TypicalCases:
    """The examples of one class.

    Attributes:
        class_id: 0-based.
        case_ids: The most typical cases, the best first; fewer than asked for where the class has fewer.
        size: Training cases in the class.
    """

    class_id: int
    case_ids: tuple[str, ...]
    size: int


def find_typical(run: RestoredRun, cohort: Cohort, context: ProcessContext, count: int) -> tuple[TypicalCases, ...]:
    """Choose the cases that stand for each class.

    Of a cluster of the closing assignment: those nearest to its centroid. Of a grade: those for which the head gives
    it the highest probability, among the cases for which it is the most probable.

    Args:
        run: A finished run.
        cohort: Holds its training cases.
        context: This process; all ranks must call together.
        count: Cases of each class.

    Raises:
        UsageError: When the cohort lacks a case that the run was trained on.
    """
    assignment, model = run.assignment, run.checkpoint.clustering
    for case_id in assignment.case_id_N:
        cohort.case(case_id)
    settings = run.config
    # of clusters, a case that training set aside has none, and its volume may still be damaged
    cluster = {i: k for i, k in assignment.by_case().items() if model is None or k != UNASSIGNED}
    case_id_N, label_N = tuple(cluster), np.array(list(cluster.values()), dtype=np.int64)
    features_NC = extract_features(
        run.network,
        cohort,
        case_id_N,
        settings.data,
        context,
        last_relu=settings.training.last_relu or model is None,
    ).features_NC
    if model is None:
        probability_NK = head_probabilities(run.network, features_NC)
        return rank_typical(probability_NK.argmax(axis=1), -probability_NK, case_id_N, count)
    distance_NK = model.distances(model.project(features_NC))
    return rank_typical(label_N, distance_NK, case_id_N, count)


def rank_typical(
    label_N: NDArray[np.int64], distance_NK: Floats, case_id_N: tuple[str, ...], count: int
) -> tuple[TypicalCases, ...]:
    """The nearest members of each class, by ascending distance to it; ties in the cohort's order."""
    groups = []
    for class_id, distance_N in enumerate(distance_NK.T):
        members = np.flatnonzero(label_N == class_id)
        nearest = members[np.argsort(distance_N[members], kind="stable")[:count]]
        groups.append(TypicalCases(class_id, tuple(case_id_N[row] for row in nearest), len(members)))
    return tuple(groups)


@torch.no_grad()
def head_probabilities(network: ClusterNetwork, features_NC: Floats) -> Floats:
    """How probable the head finds each class of cases, shape (N, K).

    Args:
        network: On any device.
        features_NC: Lung-pooled features after the last ReLU, on which the head works.
    """
    weight = network.head.weight
    logits_NK = network.classify(torch.from_numpy(features_NC).to(weight.device)).cpu().numpy()
    return softmax(logits_NK.T).T
