"""A methods section ready for a paper, filled from the configuration."""

from collections.abc import Mapping

from dcam_dist.config import Config
from dcam_dist.report.steadiness import RESAMPLES, SEEDS
from dcam_dist.report.words import percent

CITATION = (
    "Xie W, Jacobs C, van Ginneken B. Deep Clustering Activation Maps for Emphysema Subtyping. "
    "Diagnostic Image Analysis Group, Radboud University Medical Center."
)
_NETWORKS = {
    "dcam": "a 3D U-Net whose dense features are averaged over the lungs",
    "baseline": "the encoder of a 3D U-Net, without up-sampling, whose features are averaged over the lungs",
    "supervised": "a 3D U-Net whose dense features are averaged over the lungs, trained on the labels",
}


def methods_text(config: Config, cases: Mapping[str, int], epochs: int, versions: Mapping[str, str]) -> tuple[str, ...]:
    """Paragraphs that say what was done, with every setting that decides the result.

    Args:
        config: Of the run.
        cases: Cases of each split.
        epochs: Epochs trained.
        versions: Of the software that trained.
    """
    return (
        _data(config, cases),
        _network(config, epochs),
        _learning(config, epochs),
        _judging(config),
        _software(versions),
    )


def _data(config: Config, cases: Mapping[str, int]) -> str:
    depth, height, width = config.grid.shape
    how = {
        "stretch": "resampled so that it filled the grid",
        "spacing": f"resampled to {_times(config.grid.spacing_mm or ())} mm",
    }[config.grid.fit]
    low, high = config.data.window_hu
    return (
        f"The cohort had {cases.get('train', 0)} scans for training and {cases.get('test', 0)} for testing, split by "
        f"patient. The box around the lungs, with a margin of {config.grid.margin_mm:g} mm, was {how} of {depth} × "
        f"{height} × {width} voxels (z, y, x), and densities from {_hu(low)} to {_hu(high)} HU were mapped to 0–1."
    )


def _network(config: Config, epochs: int) -> str:
    network, training = config.network, config.training
    filters = network.filters if config.method != "baseline" else network.baseline_filters
    size = f"{filters} filters in its first convolution" if filters else "as many parameters as the proposed network"
    patches = "" if config.data.patch is None else f" on random patches of {_times(config.data.patch)} voxels"
    optimizer = training.optimizer
    name = {"adam": "Adam", "sgd": f"SGD (momentum {optimizer.momentum:g})"}[optimizer.name]
    rates = f"learning rates {optimizer.lr:g} (network) and {optimizer.head_lr:g} (head)"
    return (
        f"Features came from {_NETWORKS[config.method]} ({size}, {network.norm} normalization). It was trained for "
        f"{epochs} epochs{patches} with {name}, {rates}, {optimizer.schedule} schedule, weight decay "
        f"{optimizer.weight_decay:g}, batches of {training.batch_size} scans and {training.passes} "
        f"pass{'es' if training.passes > 1 else ''} over the training scans an epoch, in {network.precision} "
        "arithmetic."
    )


def _learning(config: Config, epochs: int) -> str:
    clustering, classes = config.clustering, config.classes
    if config.method == "supervised":
        return f"The head gave one of {classes} grades; classes were drawn {_balance(config)}."
    kept = clustering.pca_components
    axes = (
        f"the axes that hold {percent(kept)} of the variance"
        if isinstance(kept, float) and kept < 1
        else f"{kept} axes"
    )
    options = [
        word for word, on in (("whitened", clustering.whiten), ("scaled to unit length", clustering.l2_normalize)) if on
    ]
    shaped = f", {' and '.join(options)}" if options else ""
    return (
        f"Before each epoch the features of all training scans were standardised, reduced by PCA to {axes}{shaped}, "
        f"and clustered by k-means ({classes} clusters, {clustering.init}, {clustering.restarts} starts, at most "
        f"{clustering.iterations} iterations). The clusters were the pseudo-labels of the epoch; a linear head, set to "
        "random weights at the start of each epoch, was trained on them together with the network, and pseudo-labels "
        f"were drawn {_balance(config)}. After epoch {epochs} the scans were clustered once more; a new scan belongs "
        "to the nearest centroid. Deep clustering activation maps are the head applied to the features of each voxel."
    )


def _judging(config: Config) -> str:
    judged = config.evaluation
    return (
        "Clusters were matched to the labels one to one on the training split (Hungarian method), and the matching was "
        "held fixed on the test split. Accuracy is given with a 95 % bootstrap interval over cases "
        f"({judged.bootstrap} resamples) and beside its permutation null ({judged.permutations} permutations of the "
        f"labels, the matching fitted anew for each). Stability was judged with {SEEDS} seeds and {RESAMPLES} "
        "bootstrap resamples. Differences between clusters were tested by Kruskal-Wallis and chi-square tests (by "
        "permutation where cases were few), with false discovery rates after Benjamini and Hochberg."
    )


def _software(versions: Mapping[str, str]) -> str:
    named = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "dcam-dist")
    return (
        f"The analysis was made with dcam_dist {versions.get('dcam-dist', '')} ({named}), which implements {CITATION}"
    )


def _balance(config: Config) -> str:
    return "equally often" if config.training.balance else "as often as they occur"


def _times(values: tuple[float, ...]) -> str:
    return " × ".join(f"{value:g}" for value in values)


def _hu(value: float) -> str:
    return f"{value:g}".replace("-", "−")
