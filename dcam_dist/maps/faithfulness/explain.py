"""The explanations of one scan that are compared: its own map, others, and controls that ought to fail."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import nn

from dcam_dist.cohort import Cohort
from dcam_dist.cohort.stream import read_hu, windowed
from dcam_dist.config.seeds import derived_seed
from dcam_dist.maps.compute import (
    Floats,
    MappedCase,
    activation_maps,
    centroid_distances,
    map_volume,
    softmax,
    tensors_of,
)
from dcam_dist.maps.faithfulness.grad_cam import grad_cam
from dcam_dist.maps.faithfulness.randomize import cascade, with_shuffled_head
from dcam_dist.models import ClusterNetwork, build_network
from dcam_dist.runs import RestoredRun

DCAM, CAM = "dcam", "cam"
SHOWN, GRAD_CAM, FINER = "shown", "grad_cam", "grad_cam_finer"
RANDOM_WEIGHTS, SHUFFLED, DENSITY, RANDOM = "random_weights", "shuffled_head", "low_attenuation", "random"
TITLES: Mapping[str, str] = {
    DCAM: "dCAM",
    CAM: "CAM",
    SHOWN: "own map as probability",
    GRAD_CAM: "Grad-CAM",
    FINER: "Grad-CAM, a stage before",
    RANDOM_WEIGHTS: "random weights",
    SHUFFLED: "shuffled head",
    DENSITY: "low attenuation (−HU)",
    RANDOM: "smoothed noise",
}
"""Methods with their names for people. ``shown`` is what the figures of the maps draw: softmax over the classes."""
NOISE_VOXELS = 2.0


@dataclass(frozen=True, eq=False)
class Explained:
    """One scan with its explanations for the class that it is assigned to.

    Attributes:
        mapped: The case.
        volume_DHW: The HU window mapped to 0…1, on the training grid.
        maps: (D, H, W) each, by method, in the order of ``TITLES``; only the values in the lungs count.
        seed: Of the controls that draw.
    """

    mapped: MappedCase
    volume_DHW: Floats
    maps: Mapping[str, Floats]
    seed: int


def own_method(network: ClusterNetwork) -> str:
    """What the maps of a network are: dCAMs, or the baseline's coarse CAMs."""
    return DCAM if network.body.stride == 1 else CAM


def explain(run: RestoredRun, cohort: Cohort, case_id: str) -> Explained:
    """All explanations of one case.

    Raises:
        UsageError: When the cohort has no such case.
        VolumeDamaged: When its volume is unreadable.
    """
    hu, lungs = read_hu(cohort, case_id)
    volume = windowed(hu, *run.config.data.window_hu)
    mapped = map_volume(run.model, cohort.case(case_id), volume, lungs)
    place = [case.case_id for case in cohort.cases].index(case_id)
    seed = derived_seed(run.config.seed, "faithfulness", place)
    maps = {
        own_method(run.network): mapped.maps.dense_KDHW[mapped.class_id],
        SHOWN: softmax(mapped.maps.dense_KDHW)[mapped.class_id],
        **{
            name: grad_cam(run.network, stage, volume, lungs, mapped.class_id)
            for name, stage in grad_cam_stages(run.network).items()
        },
        RANDOM_WEIGHTS: untrained_map(run, volume, lungs, mapped.class_id, seed),
        SHUFFLED: class_map(with_shuffled_head(run.network, seed), volume, lungs, mapped.class_id),
        DENSITY: -hu.astype(np.float32),
        RANDOM: smoothed_noise(lungs, seed),
    }
    return Explained(mapped, volume, maps, seed)


def grad_cam_stages(network: ClusterNetwork) -> dict[str, nn.Module]:
    """Where Grad-CAM is taken: the deepest stage, and of the baseline, where that gives the CAM, the one before too."""
    deepest: dict[str, nn.Module] = {GRAD_CAM: network.body.bottleneck}
    return deepest if own_method(network) == DCAM else {**deepest, FINER: network.body.down[-1]}


def randomized_maps(
    run: RestoredRun,
    volume_DHW: Floats,
    lung_mask_DHW: NDArray[np.bool_],
    class_id: int,
    seed: int,
) -> Iterator[tuple[str, Floats]]:
    """The map of a class after each step of the cascading randomization; the last is ``untrained_map``."""
    for name, network in cascade(run.network, run.config, seed):
        yield name, class_map(network, volume_DHW, lung_mask_DHW, class_id)


def untrained_map(
    run: RestoredRun, volume_DHW: Floats, lung_mask_DHW: NDArray[np.bool_], class_id: int, seed: int
) -> Floats:
    """The map of a network of the same kind that has learnt nothing; the seed decides its weights."""
    network = build_network(run.config.model_copy(update={"seed": seed})).eval()
    return class_map(network.to(next(run.network.parameters()).device), volume_DHW, lung_mask_DHW, class_id)


def class_map(network: ClusterNetwork, volume_DHW: Floats, lung_mask_DHW: NDArray[np.bool_], class_id: int) -> Floats:
    """The activation map of one class, in logits."""
    dense_DHW: Floats = activation_maps(network, volume_DHW, lung_mask_DHW).dense_KDHW[class_id]
    return dense_DHW


def smoothed_noise(lung_mask_DHW: NDArray[np.bool_], seed: int) -> Floats:
    """White noise in the lungs, smoothed with a Gaussian of ``NOISE_VOXELS``: a map that knows nothing."""
    noise = np.random.default_rng(seed).normal(size=lung_mask_DHW.shape) * lung_mask_DHW
    smooth: Floats = gaussian_filter(noise, NOISE_VOXELS).astype(np.float32)
    return smooth


def class_scores(run: RestoredRun, volume_DHW: Floats, lung_mask_DHW: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The head's probabilities of a scan, and its margins in the clustering space.

    Returns:
        Both (K,). A margin is (d_other − d_own) / (d_other + d_own) of the distances to a class's centroid and to the
        nearest other one, −1…1: above 0 the scan belongs to the class. NaN for supervised runs, which have none.
    """
    logit_K, feature_C = _pooled(run, volume_DHW, lung_mask_DHW)
    probability_K, model = softmax(logit_K), run.checkpoint.clustering
    if model is None:
        return probability_K, np.full_like(probability_K, np.nan)
    distance_K = centroid_distances(model, feature_C)
    other_K = np.array([np.delete(distance_K, k).min() for k in range(distance_K.size)])
    total_K = np.maximum(other_K + distance_K, np.finfo(np.float32).tiny)
    return probability_K, ((other_K - distance_K) / total_K).astype(np.float32)


@torch.no_grad()
def _pooled(run: RestoredRun, volume_DHW: Floats, lung_mask_DHW: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Logits, and the features that the clustering sees."""
    network, last_relu = run.network, run.config.training.last_relu
    volume, mask = tensors_of(network, volume_DHW, lung_mask_DHW)
    pooled = network.pooled_features(volume, mask)
    seen = pooled if last_relu else network.pooled_features(volume, mask, last_relu=False)
    return network.classify(pooled)[0].cpu().numpy(), seen[0].cpu().numpy()
