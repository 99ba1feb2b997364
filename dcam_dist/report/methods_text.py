"""A methods section ready for a paper, filled from the configuration and from what was done."""

from collections.abc import Iterator, Mapping

from dcam_dist.config import Config
from dcam_dist.report.steadiness import RESAMPLES, SEEDS
from dcam_dist.report.study import Study
from dcam_dist.report.words import percent

CITATION = (
    "Xie W, Jacobs C, van Ginneken B. Deep Clustering Activation Maps for Emphysema Subtyping. Diagnostic Image "
    "Analysis Group, Radboud University Medical Center (add year and venue). It follows Caron M, Bojanowski P, Joulin "
    "A, Douze M. Deep clustering for unsupervised learning of visual features. ECCV 2018, with the network of Çiçek Ö, "
    "Abdulkadir A, Lienkamp SS, Brox T, Ronneberger O. 3D U-Net: learning dense volumetric segmentation from sparse "
    "annotation. MICCAI 2016."
)
_NETWORKS = {
    "dcam": "a 3D U-Net whose dense features are averaged over the lungs",
    "baseline": "the encoder of a 3D U-Net, without up-sampling, whose features are averaged over the lungs",
    "supervised": "a 3D U-Net whose dense features are averaged over the lungs, trained on the labels",
}


def methods_text(study: Study, *, steady: bool, versions: Mapping[str, str]) -> tuple[str, ...]:
    """Paragraphs that say what was done, with every setting that decides the result, and nothing that was not.

    Args:
        study: The run and its cases.
        steady: Whether the stability of the clusters was looked at.
        versions: Of the software that trained.
    """
    config, epochs = study.run.config, study.run.checkpoint.epoch
    return (
        _data(study),
        _network(config, epochs),
        _learning(config, epochs, study.placed.points_NP.shape[1]),
        _judging(study, steady),
        _software(versions),
    )


def _data(study: Study) -> str:
    config, train = study.run.config, int(study.is_train_N.sum())
    depth, height, width = config.grid.shape
    how = {
        "stretch": "resampled so that it filled the grid",
        "spacing": f"resampled to {_times(config.grid.spacing_mm or ())} mm",
    }[config.grid.fit]
    low, high = config.data.window_hu
    return (
        f"The cohort had {train} scans for training and {len(study.cases) - train} for testing, of {study.patients} "
        "patients, none of them in both. The box around the lungs, with a margin of "
        f"{config.grid.margin_mm:g} mm, was {how} of {depth} × "
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


def _learning(config: Config, epochs: int, fitted: int) -> str:
    clustering, classes = config.clustering, config.classes
    if config.method == "supervised":
        return f"The head gave one of {classes} grades; classes were drawn {_balance(config)}."
    kept = clustering.pca_components
    axes = (
        f"the axes that hold {percent(kept)} of the variance"
        if isinstance(kept, float) and kept < 1
        else f"{fitted} axes"
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


def _judging(study: Study, steady: bool) -> str:
    kind = study.names.kind
    parts = [*_scoring(study)]
    if steady:
        parts.append(f"Stability was judged with {SEEDS} seeds and {RESAMPLES} bootstrap resamples.")
    parts.append(
        f"Differences between {kind}s were tested by Kruskal-Wallis and chi-square tests (by permutation where cases "
        "were few), with false discovery rates after Benjamini and Hochberg."
    )
    return " ".join(parts)


def _scoring(study: Study) -> Iterator[str]:
    judged, labelled_N = study.run.config.evaluation, study.label_N >= 0
    if study.evaluation is None or not (labelled_N & study.is_train_N).any():
        return
    tested = bool((labelled_N & ~study.is_train_N).any())
    fitted = ""
    if study.run.config.method == "supervised":
        yield "The head's grade of a scan was compared with its label."
    else:
        held = ", and the matching was held fixed on the test split" if tested else ""
        yield f"Clusters were matched to the labels one to one on the training split (Hungarian method){held}."
        fitted = ", the matching fitted anew for each"
    yield (
        "Accuracy is given with a 95 % bootstrap interval over cases "
        f"({judged.bootstrap} resamples) and beside its permutation null ({judged.permutations} permutations of the "
        f"labels{fitted})."
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
