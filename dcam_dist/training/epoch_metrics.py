"""The figures of an epoch that its users watch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.metrics import (
    adjusted_rand,
    calinski_harabasz,
    clustering_accuracy,
    davies_bouldin,
    match_clusters,
    normalized_mutual_information,
    silhouette,
)
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.schedule import rate_factor
from dcam_dist.training.state import Clustered, EpochResult
from dcam_dist.types import UNASSIGNED, Assignment

TOLD = (
    ("nmi_previous", "NMI"),
    ("silhouette", "silhouette"),
    ("davies_bouldin", "DB"),
    ("validation_loss", "validation loss"),
    ("validation_accuracy", "validation accuracy"),
)
TOLD_STALL = 0.02  # share of a phase's time that a console line tells


def epoch_metrics(result: EpochResult, job: TrainingJob, *, peak_memory_bytes: int) -> dict[str, Any]:
    """One JSON-ready record, which docs/run_directory.md describes field by field.

    Args:
        result: The epoch.
        job: Whose boundary is asked for the seconds that it has spent in saving: call once an epoch.
        peak_memory_bytes: Of the rank that needed most.
    """
    outcome, config = result.outcome, job.config
    values: dict[str, Any] = {
        "epoch": result.epoch,
        "loss": outcome.loss,
        "hit_rate": outcome.hit_rate,
        "steps": outcome.steps,
        "skipped_steps": outcome.skipped,
        "learning_rate_factor": rate_factor(config.training.optimizer, result.epoch, config.training.epochs),
        "seconds": dict(result.seconds),
        "checkpoint_seconds": job.boundary.saving_s(),
        "volumes_per_second": outcome.volumes / result.seconds["train"],
        "set_aside": len(job.aside),
        "stall_seconds": outcome.stall_s,
        "stall_share": outcome.stall_s / result.seconds["train"],
        "peak_memory_bytes": peak_memory_bytes,
        "ranks": job.context.world_size,
        "precision": config.network.precision,
    }
    if "extract" in result.seconds:
        values["extract_stall_seconds"] = result.extract_stall_s
        values["extract_stall_share"] = result.extract_stall_s / result.seconds["extract"]
    if result.clustered.model is not None:
        values |= _cluster_metrics(result, result.clustered, job)
    if config.method == "supervised":
        values |= {"accuracy": outcome.hit_rate, **result.validation}
    return values


def console_line(values: dict[str, Any], epochs: int) -> str:
    """The same in one line for a console or a batch log."""
    parts = [f"epoch {values['epoch'] + 1}/{epochs}", f"loss {values['loss']:.4f}"]
    for name, short in TOLD:
        if values.get(name) is not None and np.isfinite(values[name]):
            parts.append(f"{short} {values[name]:.3f}")
    if "cluster_sizes" in values:
        parts.append(f"sizes {'/'.join(map(str, values['cluster_sizes']))}")
    for name, phase in (("stall_share", "training"), ("extract_stall_share", "extraction")):
        if values.get(name, 0.0) >= TOLD_STALL:
            parts.append(f"{phase} waited for volumes {values[name]:.0%} of its time")
    if values.get("skipped_steps"):
        parts.append(f"{values['skipped_steps']} steps skipped")
    if values["set_aside"]:
        parts.append(f"{values['set_aside']} cases set aside")
    seconds = " ".join(f"{name} {value:.1f}s" for name, value in values["seconds"].items() if value >= 0.05)
    memory = f"{values['peak_memory_bytes'] / 2**30:.1f} GiB"
    return ", ".join([*parts, seconds, f"{values['volumes_per_second']:.2f} volumes/s", memory])


def drift(previous: Assignment | None, label_N: NDArray[np.int64]) -> dict[str, float | None]:
    """What has become of the assignment before, over the cases that had a cluster then and have one now.

    Args:
        previous: The assignment before; ``None`` in the first epoch.
        label_N: Cluster ids of the same cases, matched to the ones before.

    Returns:
        ``nmi_previous``, ``ari_previous`` and ``moved_share``; ``None`` for each without an assignment before.
    """
    if previous is None:
        return {"nmi_previous": None, "ari_previous": None, "moved_share": None}
    both = (previous.label_N != UNASSIGNED) & (label_N != UNASSIGNED)
    return {
        "nmi_previous": normalized_mutual_information(previous.label_N, label_N),
        "ari_previous": adjusted_rand(previous.label_N, label_N),
        "moved_share": float((previous.label_N != label_N)[both].mean()) if both.any() else None,
    }


def _cluster_metrics(result: EpochResult, clustered: Clustered, job: TrainingJob) -> dict[str, Any]:
    label_N, clusters = clustered.assignment.label_N, job.config.clustering.clusters
    given_N, points_NP = label_N[label_N != UNASSIGNED], clustered.points_NP
    assert points_NP is not None  # noqa: S101
    values: dict[str, Any] = {
        "inertia": clustered.assignment.inertia,
        "repaired_clusters": clustered.assignment.repaired,
        "cluster_sizes": np.bincount(given_N, minlength=clusters).tolist(),
        "silhouette": silhouette(
            points_NP, given_N, max_cases=job.config.evaluation.silhouette_cases, seed=job.seed("silhouette", 0)
        ),
        "davies_bouldin": davies_bouldin(points_NP, given_N),
        "calinski_harabasz": calinski_harabasz(points_NP, given_N),
        **drift(result.previous, label_N),
    }
    if ((job.grade_N >= 0) & (label_N >= 0)).any():
        labels = len(job.cohort.description.label_names)
        mapping_K = match_clusters(label_N, job.grade_N, clusters=clusters, labels=labels)
        values["accuracy"] = clustering_accuracy(label_N, job.grade_N, mapping_K)
    return values
