"""Why an answer should not be taken as it is: plain sentences, each with a flag to filter on."""

import math
from collections.abc import Iterator

from dcam_dist.inference.answer import Answer
from dcam_dist.inference.words import FIELDS, in_words
from dcam_dist.ingest.case import THICK_SLICES
from dcam_dist.maps.naming import class_names
from dcam_dist.runs import Bundle
from dcam_dist.runs.trained_on import OTHER, THICKNESS, TrainedOn

HEAD_DISAGREES, OUT_OF_DISTRIBUTION = "head_disagrees", "out_of_distribution"
HARDLY_WINS, NOT_THIN = "map_hardly_wins", "slices_over_2_mm"
UNKNOWN_KERNEL, OTHER_MAKER, OTHER_THICKNESS, OUTSIDE_RANGE, OTHER_MASKS = (
    "kernel_unlike_training",
    "manufacturer_unlike_training",
    "slice_thickness_unlike_training",
    "outside_training_range",
    "lung_mask_unlike_training",
)
THIN_MM = 2.0
"""Up to which thickness LAA-950 is compared from scan to scan."""
FEWEST_WON = 0.1
"""Of the lungs; a class whose map is the largest in less is hardly to be seen in its own picture."""
KNOWN_SHARE = 0.5
"""Of the training scans with a known kernel, from which on a kernel that none of them has is told."""

Warned = Iterator[tuple[str, str]]


def judged(answer: Answer, bundle: Bundle) -> Answer:
    """The answer with all that speaks against it, of its scan alone."""
    for flag, sentence in _findings(answer, bundle):
        answer = answer.warned(flag, sentence)
    return answer


def _findings(answer: Answer, bundle: Bundle) -> Warned:
    yield from ((flag, in_words(flag)) for flag in tuple(answer.tree["flags"]))
    yield from _uncertain(answer, bundle)
    yield from _thick(answer)
    if bundle.trained_on is not None:
        yield from _scanned_otherwise(answer, bundle.trained_on)
        yield from _outside(answer, bundle.trained_on)


def _uncertain(answer: Answer, bundle: Bundle) -> Warned:
    tree, names = answer.tree, class_names(bundle.model.config)
    if answer.number != answer.head_number:
        head = names.titles[answer.head_number - names.first]
        share = tree["probabilities"][head]
        yield (
            HEAD_DISAGREES,
            f"The nearest centroid is that of {answer.title}, but the network's head finds {head} most probable "
            f"({share:.0%}).",
        )
    if tree["out_of_distribution"]:
        yield (
            OUT_OF_DISTRIBUTION,
            f"The scan is unlike the training scans (p = {tree['p_value']:.2g}): its {answer.kind} means little.",
        )

    if (won := tree["share_won"][answer.title]) < FEWEST_WON:
        yield (
            HARDLY_WINS,
            f"The map of {answer.title} is the largest in {won:.1%} of the lungs only, so the picture of the winner "
            "hardly shows it: the answer is of the mean over the lungs.",
        )


def _thick(answer: Answer) -> Warned:
    thickness_mm = answer.tree["scanner"].get(THICKNESS, "")
    if thickness_mm and float(thickness_mm) > THIN_MM and THICK_SLICES not in answer.tree["flags"]:
        yield (
            NOT_THIN,
            f"The slices are {thickness_mm} mm thick: LAA-950 can be compared only with scans of a like thickness.",
        )


def _scanned_otherwise(answer: Answer, seen: TrainedOn) -> Warned:
    scanner = answer.tree["scanner"]
    for flag, what, own, theirs in (
        (UNKNOWN_KERNEL, "reconstruction kernel", answer.kernel, seen.kernels),
        (OTHER_MAKER, "scanner's maker", scanner.get("manufacturer", ""), seen.manufacturers),
    ):
        known = sum(theirs.values()) >= KNOWN_SHARE * max(1, seen.cases)
        if own and known and (own == OTHER or own not in theirs):
            named = ", ".join(name for name in theirs if name != OTHER) or "others"
            yield (
                flag,
                f"Its {what} ({own}) is none that many training scans have ({named}): density and texture may differ "
                "for that reason alone.",
            )
    low, high = seen.ranges.get(THICKNESS, (-math.inf, math.inf))
    thickness_mm = scanner.get(THICKNESS, "")
    if thickness_mm and not low <= float(thickness_mm) <= high:
        yield (
            OTHER_THICKNESS,
            f"Its slices are {thickness_mm} mm thick, those of nine in ten training scans {low:g} to {high:g} mm: "
            "density and texture may differ for that reason alone.",
        )
    source, masks = answer.tree["lung_mask"], " or ".join(map(_mask, seen.lung_masks))
    if seen.lung_masks and source not in seen.lung_masks:
        yield OTHER_MASKS, f"Its lung mask is {_mask(source)}, those of the training scans were {masks}."


def _mask(source: str) -> str:
    return "made by the lungmask network" if source == "lungmask" else source


def _outside(answer: Answer, seen: TrainedOn) -> Warned:
    outside = []
    for name, field in FIELDS.items():
        value, (low, high) = answer.densitometry.get(name), seen.ranges.get(name, (-math.inf, math.inf))
        if value is not None and not low <= value <= high:
            outside.append(f"{field.title} {field.show(value)} ({field.show(low)} to {field.show(high)})")
    if outside:
        yield OUTSIDE_RANGE, f"Outside the range of nine in ten training scans: {', '.join(outside)}."
