"""One scan through a trained network: its dense clustering activation maps (dCAMs) and what they add up to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dcam_dist.clustering import ClusterModel
from dcam_dist.cohort import Cohort
from dcam_dist.cohort.stream import read_volume
from dcam_dist.models import ClusterNetwork, pool_over_lungs
from dcam_dist.runs import RestoredRun, TrainedModel
from dcam_dist.types import CaseRecord

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ActivationMaps:
    """The head on the dense features of one scan, and on their lung mean.

    For the proposed network the lung mean of ``dense_KDHW`` is ``logit_K``, because the head is linear. For the
    baseline the maps are interpolated from 1/16 of the grid's resolution, and the equality holds before that alone.

    Attributes:
        dense_KDHW: dCAMs on the training grid, in logits.
        logit_K: The scan's logits.
        feature_C: Lung-pooled features, as the clustering sees them.
    """

    dense_KDHW: Floats
    logit_K: Floats
    feature_C: Floats


@dataclass(frozen=True, eq=False)
class MappedCase:
    """One case with its maps and its place among the classes.

    Attributes:
        record: The case.
        maps: Its activation maps.
        lung_mask_DHW: bool, on the training grid.
        class_id: 0-based. Its cluster (nearest centroid); for supervised runs the head's most probable grade.
        probability_K: The head's probabilities, softmax of the scan's logits.
        distance_K: Distance to each centroid in the clustering space; ``None`` for supervised runs.
    """

    record: CaseRecord
    maps: ActivationMaps
    lung_mask_DHW: NDArray[np.bool_]
    class_id: int
    probability_K: Floats
    distance_K: Floats | None


def map_case(run: RestoredRun, cohort: Cohort, case_id: str) -> MappedCase:
    """Read one case and pass it through the run's network.

    Raises:
        UsageError: When the cohort has no such case.
        VolumeDamaged: When its volume is unreadable.
    """
    return map_volume(run.model, cohort.case(case_id), *read_volume(cohort, case_id, run.config.data.window_hu))


def map_volume(
    model: TrainedModel, record: CaseRecord, volume_DHW: Floats, lung_mask_DHW: NDArray[np.bool_]
) -> MappedCase:
    """Pass one scan through a trained model.

    Args:
        model: Of a run or a bundle.
        record: The scan.
        volume_DHW: The HU window mapped to 0…1, on the training grid.
        lung_mask_DHW: Same shape.
    """
    maps = activation_maps(model.network, volume_DHW, lung_mask_DHW, last_relu=model.config.training.last_relu)
    probability_K, clusters = softmax(maps.logit_K), model.clustering
    if clusters is None:
        return MappedCase(record, maps, lung_mask_DHW, int(probability_K.argmax()), probability_K, None)
    distance_K = centroid_distances(clusters, maps.feature_C)
    return MappedCase(record, maps, lung_mask_DHW, int(distance_K.argmin()), probability_K, distance_K)


def centroid_distances(clustering: ClusterModel, feature_C: Floats) -> Floats:
    """Distance of one scan to each centroid in the clustering space, (K,), from its lung-pooled features."""
    distance_K: Floats = clustering.distances(clustering.project(feature_C[None]))[0]
    return distance_K


def tensors_of(network: ClusterNetwork, volume_DHW: Floats, lung_mask_DHW: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Volume and mask of one scan where the network is, (1, 1, D, H, W) each."""
    device = next(network.parameters()).device
    volume, mask = (torch.from_numpy(array)[None, None].to(device) for array in (volume_DHW, lung_mask_DHW))
    return volume, mask


@torch.no_grad()
def activation_maps(
    network: ClusterNetwork, volume_DHW: Floats, lung_mask_DHW: NDArray[np.bool_], *, last_relu: bool = True
) -> ActivationMaps:
    """Dense clustering activation maps of one scan, with the network in evaluation mode.

    Args:
        network: f_θ and g_W.
        volume_DHW: The HU window mapped to 0…1, on the training grid.
        lung_mask_DHW: Same shape.
        last_relu: Whether ``feature_C`` is taken after the last ReLU; without it, a second pass is made.
    """
    network.eval()
    volume, mask = tensors_of(network, volume_DHW, lung_mask_DHW)
    features = network.body(volume)
    pooled = pool_over_lungs(features, mask, network.body.stride)
    dense = network.activation_maps(features)
    if dense.shape[2:] != volume.shape[2:]:
        # A coarse voxel is the middle of its 16³ block, which is what align_corners=False takes it for.
        dense = F.interpolate(dense, size=volume.shape[2:], mode="trilinear", align_corners=False)
    logits = network.classify(pooled)
    seen = pooled if last_relu else network.pooled_features(volume, mask, last_relu=False)
    return ActivationMaps(*(tensor[0].cpu().numpy() for tensor in (dense, logits, seen)))


def softmax(logits_K: NDArray[np.floating[Any]]) -> Floats:
    """Softmax over the first axis, float32."""
    powers = np.exp(logits_K - logits_K.max(axis=0, keepdims=True))
    probability_K: Floats = (powers / powers.sum(axis=0, keepdims=True)).astype(np.float32)
    return probability_K
