"""``MODEL_CARD.md``: what a bundle is, what it was trained on, how good it is, and what it must not be used for."""

from collections.abc import Iterator, Mapping

from dcam_dist.evaluation.scoring import MethodScores
from dcam_dist.evaluation.table import render_markdown
from dcam_dist.inference.words import FIELDS
from dcam_dist.maps.naming import class_names
from dcam_dist.models.network import count_parameters
from dcam_dist.runs import Bundle
from dcam_dist.runs.trained_on import FEWEST, FEWEST_FOR_RANGES, THICKNESS, TrainedOn
from dcam_dist.types import Split

METHODS = {
    "dcam": "Deep clustering with dense activation maps: a 3D U-Net, trained on its own clusters, without labels.",
    "baseline": "The baseline of deep clustering: the network without its up-sampling path, so its maps are coarse.",
    "supervised": "The supervised comparison: the network of the proposed method, trained on graded scans.",
}
LIMITS = (
    "- **Not a medical device. For research only**; no diagnosis and no treatment may rest on it.",
    "- Clusters are groups of like scans. They are not grades, and their numbers have no order.",
    "- Reconstruction kernel, slice thickness, dose, breath hold and scanner change the density of a lung on CT, and"
    " with it the answer. `infer` warns where a scan is unlike the training scans, as far as it can know.",
    "- Lung masks decide what is averaged. Look at the overlay of every scan before its numbers are used.",
    "- The centroid of a cluster with one training case is that case's features, and the outlier rule keeps one score"
    " of each training case, without its name: think before you share it.",
)


def model_card(bundle: Bundle, scores: Mapping[str, MethodScores]) -> str:
    """The card, in Markdown; the same text for the same bundle and scores."""
    sections = (
        ("", _what(bundle)),
        ("## Trained on", _training(bundle)),
        ("## Scores", _scores(scores)),
        ("## Limits", LIMITS),
        ("## How to use", _use(bundle)),
    )
    blocks = [part for heading, lines in sections for part in (heading, "\n".join(lines)) if part]
    return "\n\n".join(["# Model card", *blocks]) + "\n"


def _what(bundle: Bundle) -> Iterator[str]:
    config = bundle.model.config
    names, parameters = class_names(config), count_parameters(bundle.model.network)
    low, high = config.data.window_hu
    yield f"{METHODS[config.method]} It gives a chest CT one of {config.classes} {names.kind}s, and a map of each."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| Method | {config.method} |"
    yield f"| Network | {parameters:,} parameters, {config.network.filters} filters, {config.network.precision} |"
    shape = " × ".join(map(str, config.grid.shape))
    yield f"| Input | {shape} voxels (z, y, x) around the lungs, {low:g} to {high:g} HU |"
    if bundle.model.clustering is not None:
        yield f"| Clustering | {bundle.model.clustering.space}, k-means |"
    yield f"| Training | {bundle.epochs} epochs, seed {config.seed} |"
    yield f"| Run | {bundle.run_sha256} |"
    yield f"| Versions | {', '.join(f'{name} {number}' for name, number in bundle.versions.items())} |"


def _training(bundle: Bundle) -> Iterator[str]:
    titles, kind = class_names(bundle.model.config).titles, class_names(bundle.model.config).kind
    yield f"{int(bundle.size_K.sum())} scans."
    yield ""
    yield f"| {kind.capitalize()} | Training scans |"
    yield "|---|---:|"
    yield from (f"| {_cell(title)} | {size} |" for title, size in zip(titles, bundle.size_K.tolist(), strict=True))
    yield ""
    if bundle.trained_on is None:
        yield "The cohort was not at hand when this bundle was written, so nothing more is known of them."
    else:
        yield from _summary(bundle.trained_on)


def _summary(seen: TrainedOn) -> Iterator[str]:
    for title, counts in (
        ("Reconstruction kernels", seen.kernels),
        ("Scanners", seen.manufacturers),
        ("Slice thickness (mm)", seen.slice_thickness_mm),
        ("Lung masks", seen.lung_masks),
    ):
        yield f"- {title}: {', '.join(f'{_cell(name)} ({count})' for name, count in counts.items()) or 'not known'}."
    yield f"- What fewer than {FEWEST} scans have is counted as other."
    yield ""
    if not seen.ranges:
        yield f"No ranges: fewer than {FEWEST_FOR_RANGES} scans."
        return
    yield "| Measure | 5 % | 95 % |"
    yield "|---|---:|---:|"
    for name, (low, high) in seen.ranges.items():
        field = FIELDS.get(name)
        if field is not None:
            yield f"| {field.title} ({field.unit}) | {low:g} | {high:g} |"
    if THICKNESS in seen.ranges:
        low, high = seen.ranges[THICKNESS]
        yield f"| slice thickness (mm) | {low:g} | {high:g} |"


def _scores(scores: Mapping[str, MethodScores]) -> list[str]:
    if not scores:
        return ["The run was not evaluated when this bundle was written, so how good it is is not known."]
    notes = "Against graded scans; the null is what permuted grades give, and the interval is a bootstrap over cases."
    splits: tuple[Split, ...] = ("test", "train") if next(iter(scores.values())).test.n else ("train",)
    return [notes, *(line for split in splits for line in ("", *render_markdown(scores, split).splitlines()))]


def _use(bundle: Bundle) -> Iterator[str]:
    yield "```bash"
    yield "dcam-dist infer SCAN… --model THIS_FOLDER -o OUT"
    yield "```"
    yield ""
    yield "SCAN is a DICOM folder, a NIfTI, NRRD or MetaImage file, or a table of them. OUT gets a folder a scan with"
    yield "the maps in the scan's own space, an overlay, and `case.json`: the answer, its certainty and warnings. And"
    yield "`summary.csv`, a line a scan."


def _cell(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\|`*_<>[]#" else letter for letter in text)
