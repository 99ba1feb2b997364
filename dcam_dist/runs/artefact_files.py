"""An artefact as files, and the noun. Safetensors and JSON: nothing in it is ever run.

model.safetensors
  mean_C, scale_C, components_PC, variance_P, centroid_KP   float32, as ``ClusterModel`` has them
  size_K                                                    int64
  new_id_K                                                  int64, where ids were matched
  outlier_distance_K2, outlier_residual_2, outlier_score_M  float64, where there is a rule: ``OutlierRule``
artefact.json
  format; kind; cluster_ids, as people see them; rows, space; whiten, l2_normalize; n, inertia;
  settings, backend, seed; source, created_by, versions
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError

from dcam_dist.clustering import ClusterModel
from dcam_dist.clustering.outliers import OutlierRule
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError, EnvironmentFault
from dcam_dist.runs.feature_formats import MOST_CHANNELS
from dcam_dist.runs.provenance import versions

FORMAT = 1
KIND = "dcam-dist clustering"
MODEL, ABOUT = "model.safetensors", "artefact.json"
LUNG_ROWS, FILE_ROWS = "lung-pooled features", "features of a file"
_LONGEST_TEXT, _MOST_TEXTS = 200, 50
_OUTLIER = "outlier_"
_AXES = {"mean_C": 1, "scale_C": 1, "components_PC": 2, "variance_P": 1, "centroid_KP": 2}
"""The model's arrays and their numbers of axes."""

Arrays = dict[str, NDArray[Any]]
Tree = dict[str, Any]


@dataclass(frozen=True, eq=False)
class ClusterArtefact:
    """A fitted clustering with its provenance.

    Attributes:
        model: Scaler, PCA, centroids by cluster id.
        rows: What a row is, in words.
        size_K: Rows of each cluster that it was made of.
        inertia: Sum of squared distances to the nearest centroid.
        settings: Of the clustering.
        backend: Name of the backend that made it.
        seed: Of what was drawn.
        source: Hashes that name what it was made from.
        created_by: The verb.
        new_id_K: The id that each cluster of the fit was given when ids were matched to an earlier clustering's;
            ``None``: ids are the fit's own.
        outliers: When a row is farther off than the rows that it was made of; ``None``: not known.
        versions: Of the packages that results hang on.
    """

    model: ClusterModel
    rows: str
    size_K: NDArray[np.int64]
    inertia: float
    settings: ClusteringConfig
    backend: str
    seed: int
    source: Mapping[str, str]
    created_by: str
    new_id_K: NDArray[np.int64] | None = None
    outliers: OutlierRule | None = None
    versions: Mapping[str, str] = field(default_factory=versions)

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.size_K)

    @property
    def channels(self) -> int:
        """Channels of the rows."""
        return len(self.model.mean_C)

    @property
    def space(self) -> str:
        """The clustering space in words."""
        return self.model.space_of(self.rows)


def to_files(artefact: ClusterArtefact) -> Iterator[tuple[str, bytes]]:
    """The files of an artefact, name and content."""
    arrays = {name: np.array(array, order="C") for name, array in _arrays_of(artefact).items()}
    yield MODEL, safetensors.numpy.save(arrays)
    yield ABOUT, json.dumps(_tree_of(artefact), indent=1, allow_nan=False).encode()


def from_files(files: Mapping[str, bytes]) -> ClusterArtefact:
    """The inverse of ``to_files``.

    Raises:
        DataError: When something is missing, or is of another kind or shape than it must be.
        EnvironmentFault: When a newer version of the package wrote it.
    """
    try:
        tree = json.loads(files[ABOUT])
        _check_kind(tree)
        return _artefact(tree, safetensors.numpy.load(files[MODEL]))
    except ValidationError as error:
        raise DataError(f"{ABOUT}: no clustering of this package (settings: {error.error_count()} wrong)") from None
    except (
        LookupError,
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,
        RecursionError,
        SafetensorError,
    ) as error:
        raise DataError(f"no clustering of this package ({type(error).__name__}: {error!s:.200})") from None


def _arrays_of(artefact: ClusterArtefact) -> Arrays:
    rule = artefact.outliers
    named: dict[str, NDArray[Any] | None] = {name: getattr(artefact.model, name) for name in _AXES}
    named |= {"size_K": artefact.size_K, "new_id_K": artefact.new_id_K}
    if rule is not None:
        named |= {_OUTLIER + name: getattr(rule, name) for name in ("distance_K2", "residual_2", "score_M")}
    return {name: array for name, array in named.items() if array is not None}


def _tree_of(artefact: ClusterArtefact) -> Tree:
    return {
        "format": FORMAT,
        "kind": KIND,
        "cluster_ids": list(range(1, artefact.clusters + 1)),
        "rows": artefact.rows,
        "space": artefact.space,
        "whiten": artefact.model.whiten,
        "l2_normalize": artefact.model.l2_normalize,
        "n": int(artefact.size_K.sum()),
        "inertia": float(artefact.inertia),
        "settings": artefact.settings.model_dump(mode="json"),
        "backend": artefact.backend,
        "seed": artefact.seed,
        "source": dict(artefact.source),
        "created_by": artefact.created_by,
        "versions": dict(artefact.versions),
    }


def _check_kind(tree: Any) -> None:
    if not isinstance(tree, dict) or tree.get("kind") != KIND:
        raise ValueError(f"{ABOUT} describes something else")
    number = tree["format"]
    if type(number) is not int or number > FORMAT:
        raise EnvironmentFault(
            f"written in format {number!r:.20}, this version reads {FORMAT}; install a newer dcam-dist"
        )


def _artefact(tree: Tree, arrays: Arrays) -> ClusterArtefact:
    model = _model(tree, arrays)
    clusters = len(model.centroid_KP)
    size_K = _of(arrays, "size_K", np.int64, (clusters,))
    if size_K.min() < 0 or tree["n"] != size_K.sum() or tree["cluster_ids"] != list(range(1, clusters + 1)):
        raise ValueError("sizes or ids of the clusters do not fit")
    artefact = ClusterArtefact(
        model=model,
        rows=_text(tree["rows"]),
        size_K=size_K,
        inertia=_not_negative(tree["inertia"]),
        settings=ClusteringConfig.model_validate(tree["settings"]),
        backend=_text(tree["backend"]),
        seed=_whole(tree["seed"]),
        source=_texts(tree["source"]),
        created_by=_text(tree["created_by"]),
        new_id_K=_permutation(arrays, clusters) if "new_id_K" in arrays else None,
        outliers=_rule(arrays, clusters) if f"{_OUTLIER}score_M" in arrays else None,
        versions=_texts(tree["versions"]),
    )
    if unknown := arrays.keys() - _arrays_of(artefact).keys():
        raise ValueError(f"an array too many, {min(unknown)!r:.40}")
    return artefact


def _model(tree: Tree, arrays: Arrays) -> ClusterModel:
    clusters, axes = _shape(arrays, "centroid_KP")
    channels = _shape(arrays, "components_PC")[1]
    if clusters < 2 or not 1 <= axes <= channels <= MOST_CHANNELS:
        raise ValueError(f"{clusters} clusters on {axes} axes of {channels} channels")
    shapes = ((channels,), (channels,), (axes, channels), (axes,), (clusters, axes))
    mean_C, scale_C, components_PC, variance_P, centroid_KP = (
        _of(arrays, name, np.float32, shape) for name, shape in zip(_AXES, shapes, strict=True)
    )
    if scale_C.min() <= 0 or variance_P.min() < 0:
        raise ValueError("a scale or variance below what it can be")
    whiten, l2_normalize = tree["whiten"], tree["l2_normalize"]
    if type(whiten) is not bool or type(l2_normalize) is not bool:
        raise TypeError("whiten and l2_normalize are true or false")
    return ClusterModel(mean_C, scale_C, components_PC, variance_P, centroid_KP, whiten, l2_normalize)


def _rule(arrays: Arrays, clusters: int) -> OutlierRule:
    score_M = arrays[f"{_OUTLIER}score_M"]
    in_order = (score_M[1:] >= score_M[:-1]).all() and not np.isnan(score_M).any()  # the last may be infinite
    if score_M.dtype != np.float64 or score_M.ndim != 1 or not len(score_M) or not in_order:
        raise ValueError("scores of the outlier rule are not in order")
    distance_K2, residual_2 = (
        _of(arrays, _OUTLIER + name, np.float64, shape)
        for name, shape in (("distance_K2", (clusters, 2)), ("residual_2", (2,)))
    )
    return OutlierRule(distance_K2, residual_2, score_M)


def _permutation(arrays: Arrays, clusters: int) -> NDArray[np.int64]:
    new_id_K = _of(arrays, "new_id_K", np.int64, (clusters,))
    if not np.array_equal(np.sort(new_id_K), np.arange(clusters)):
        raise ValueError("new_id_K is no permutation")
    return new_id_K


def _shape(arrays: Arrays, name: str) -> tuple[int, int]:
    rows, columns = arrays[name].shape
    return rows, columns


def _of(arrays: Arrays, name: str, kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    array = arrays[name]
    if array.dtype != kind or array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, or not finite")
    return array


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise TypeError("a text that is none, or is too long")
    return value


def _texts(tree: Any) -> dict[str, str]:
    if not isinstance(tree, dict) or len(tree) > _MOST_TEXTS:
        raise TypeError("source and versions name texts")
    return {_text(name): _text(value) for name, value in tree.items()}


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("the seed is a whole number")
    return value


def _not_negative(value: Any) -> float:
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError("the inertia is no such number")
    return number
