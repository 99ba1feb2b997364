"""A bundle as files, and the noun. Safetensors and JSON: nothing in it is ever run.

model.safetensors
  network.NAME                                  parameters and running statistics, as the network names them
  clustering.NAME                               float32, the arrays of ``ClusterModel``; not of supervised runs
  outliers.distance_K2, .residual_2, .score_M   float64, ``OutlierRule``; not of supervised runs
bundle.json
  ``bundle_schema.BundleAbout``
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from dcam_dist.clustering import ClusterModel
from dcam_dist.clustering.outliers import MOST_SCORES, OutlierRule
from dcam_dist.config import Config
from dcam_dist.config.loading import first_problem
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.models import ClusterNetwork, build_network
from dcam_dist.models.build import build_body
from dcam_dist.models.checkpointing import POLICIES
from dcam_dist.runs.bundle_schema import FORMAT, KIND, BundleAbout, BundleKind, BundleSettings
from dcam_dist.runs.tensor_list import Kinds, header_of
from dcam_dist.runs.trained_model import TrainedModel
from dcam_dist.runs.trained_on import TrainedOn

MODEL, ABOUT, CARD = "model.safetensors", "bundle.json", "MODEL_CARD.md"
_ARRAYS = ("mean_C", "scale_C", "components_PC", "variance_P", "centroid_KP")
_RULE = ("distance_K2", "residual_2", "score_M")
_SCORES = "outliers.score_M"

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model with all that is needed to judge what it says of a new scan.

    Attributes:
        model: What a scan is put through.
        size_K: Training cases of each class.
        outliers: When a scan is farther off than the training cases; ``None`` for supervised runs.
        trained_on: What the training cases have in common; ``None``: not known.
        epochs: That training took.
        run_sha256: Names the run without saying where it is.
        versions: Of the packages that results hang on, when the bundle was written.
    """

    model: TrainedModel
    size_K: NDArray[np.int64]
    outliers: OutlierRule | None
    trained_on: TrainedOn | None
    epochs: int
    run_sha256: str
    versions: Mapping[str, str]


def to_files(bundle: Bundle, card: str) -> Iterator[tuple[str, bytes]]:
    """The files of a bundle, name and content; the same bytes for the same bundle."""
    yield MODEL, safetensors.torch.save(_tensors_of(bundle))
    yield ABOUT, json.dumps(about_of(bundle).model_dump(mode="json"), indent=1, allow_nan=False).encode()
    yield CARD, card.encode()


def model_sha256(bundle: Bundle) -> str:
    """SHA-256 of all that decides an answer: weights, clustering, outlier rule and settings.

    ``run_sha256`` is what a bundle says of itself; this is computed from what it holds.
    """
    digest = hashlib.sha256(safetensors.torch.save(_tensors_of(bundle)))
    digest.update(about_of(bundle).settings.model_dump_json().encode())
    return digest.hexdigest()


def about_of(bundle: Bundle) -> BundleAbout:
    """What ``bundle.json`` says of a bundle."""
    return BundleAbout(
        format=FORMAT,
        kind=KIND,
        settings=BundleSettings.of(bundle.model.config),
        epochs=bundle.epochs,
        class_sizes=bundle.size_K.tolist(),
        trained_on=bundle.trained_on,
        run_sha256=bundle.run_sha256,
        versions=dict(bundle.versions),
    )


def from_files(files: Mapping[str, bytes]) -> Bundle:
    """The inverse of ``to_files``.

    Raises:
        DataError: When something is missing, or is of another kind or shape than the network must have.
        EnvironmentFault: When a newer version of the package wrote it.
    """
    about = _about(files[ABOUT])
    try:
        config = about.settings.config()
        tensors = _checked(files[MODEL], config)
        network = build_network(config)
        network.load_state_dict(_part(tensors, "network."))
    except (SafetensorError, ValueError, LookupError, TypeError, RuntimeError, UsageError) as error:
        raise DataError(f"{MODEL}: not the network of {ABOUT} ({error!s:.200})") from None
    network.eval()
    arrays = {name: tensor.numpy() for name, tensor in tensors.items() if not name.startswith("network.")}
    clustered = config.method != "supervised"
    return Bundle(
        model=TrainedModel(config, network, _clustering(arrays, config) if clustered else None),
        size_K=np.array(about.class_sizes, dtype=np.int64),
        outliers=_rule(arrays) if clustered else None,
        trained_on=about.trained_on,
        epochs=about.epochs,
        run_sha256=about.run_sha256,
        versions=about.versions,
    )


def is_about(content: bytes) -> bool:
    """Whether this is a ``bundle.json``, of whatever format."""
    try:
        return BundleKind.model_validate_json(content, strict=True).kind == KIND
    except ValidationError:
        return False


def _about(content: bytes) -> BundleAbout:
    model: type[BundleKind | BundleAbout] = BundleKind
    try:
        kind = BundleKind.model_validate_json(content, strict=True)
        if kind.kind == KIND and kind.format > FORMAT:
            raise EnvironmentFault(
                f"written in format {kind.format}, this version reads {FORMAT}; install a newer dcam-dist"
            )
        model = BundleAbout
        about = BundleAbout.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise DataError(f"{ABOUT}: no bundle of this package ({first_problem(error, model):.200})") from None
    if about.model_dump(mode="json") != json.loads(content):  # a default would stand for what is not there
        raise DataError(f"{ABOUT}: settings are missing")
    return about


def _tensors_of(bundle: Bundle) -> Tensors:
    named = {f"network.{name}": tensor for name, tensor in bundle.model.network.state_dict().items()}
    for prefix, names, holder in (
        ("clustering", _ARRAYS, bundle.model.clustering),
        ("outliers", _RULE, bundle.outliers),
    ):
        if holder is not None:
            named |= {f"{prefix}.{name}": torch.from_numpy(np.array(getattr(holder, name))) for name in names}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(named.items())}


def _checked(content: bytes, config: Config) -> Tensors:
    """The tensors of a file that are just those of a configuration.

    Nothing is allocated before the file's own list says that it holds the tensors of the network.
    """
    listed, expected = header_of(content), _network_kinds(config)
    if config.method != "supervised":
        expected |= _cluster_kinds(listed, config)
    if differing := sorted(listed.keys() ^ expected.keys()):
        raise ValueError(f"{len(differing)} tensors missing or too many, {differing[0]:.60} the first")
    for name, (shape, dtype) in expected.items():
        if listed[name] != (shape, dtype):
            own, other = listed[name]
            raise ValueError(f"{name} is {other} of shape {own}, {dtype} of {shape} is needed")
    tensors = safetensors.torch.load(content)
    if {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()} != expected:
        raise ValueError("its list of tensors says two things")
    for name, tensor in tensors.items():
        _check_values(name, tensor)
    return tensors


def _check_values(name: str, tensor: Tensor) -> None:
    if name == _SCORES:  # the last of them may be infinite
        finite = not tensor.isnan().any() and bool((tensor[1:] >= tensor[:-1]).all())
    else:
        finite = bool(tensor.isfinite().all())
    if not finite:
        raise ValueError(f"{name} is not finite, or not in order")
    positive, from_zero = (
        name == "clustering.scale_C",
        name.endswith((".running_var", ".variance_P")),
    )
    if (positive and tensor.min() <= 0) or (from_zero and tensor.min() < 0):
        raise ValueError(f"{name} is below what it can be")


def _network_kinds(config: Config) -> Kinds:
    with torch.device("meta"):
        body = build_body(config.network, baseline=config.method == "baseline")
        network = ClusterNetwork(body, config.classes, POLICIES["none"])
    return {f"network.{name}": (tuple(one.shape), one.dtype) for name, one in network.state_dict().items()}


def _cluster_kinds(listed: Kinds, config: Config) -> Kinds:
    clusters, of_one_axis = config.clustering.clusters, ("clustering.mean_C", "clustering.variance_P", _SCORES)
    (channels,), (axes,), (scores,) = (listed[name][0] for name in of_one_axis)
    body = _network_kinds(config)["network.head.weight"][0][1]
    if channels != body or not 1 <= axes <= channels or not 1 <= scores <= MOST_SCORES:
        raise ValueError(f"{axes} axes of {channels} channels with {scores} scores, the network has {body} channels")
    shapes = ((channels,), (channels,), (axes, channels), (axes,), (clusters, axes))
    kinds: Kinds = {f"clustering.{name}": (shape, torch.float32) for name, shape in zip(_ARRAYS, shapes, strict=True)}
    rule = zip(_RULE, ((clusters, 2), (2,), (scores,)), strict=True)
    return kinds | {f"outliers.{name}": (shape, torch.float64) for name, shape in rule}


def _part(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}


def _clustering(arrays: Mapping[str, NDArray[np.float32]], config: Config) -> ClusterModel:
    mean_C, scale_C, components_PC, variance_P, centroid_KP = (arrays[f"clustering.{name}"] for name in _ARRAYS)
    settings = config.clustering
    return ClusterModel(mean_C, scale_C, components_PC, variance_P, centroid_KP, settings.whiten, settings.l2_normalize)


def _rule(arrays: Mapping[str, NDArray[np.float64]]) -> OutlierRule:
    return OutlierRule(*(arrays[f"outliers.{name}"] for name in _RULE))
