"""Why an answer should not be taken as it is: plain sentences, each with a flag to filter on."""

import math
from collections.abc import Iterator

from dcam_dist.inference.answer import Answer
from dcam_dist.inference.words import FIELDS, in_words
from dcam_dist.maps.naming import class_names
from dcam_dist.runs import Bundle
from dcam_dist.runs.trained_on import OTHER, TrainedOn

HEAD_DISAGREES, OUT_OF_DISTRIBUTION = "head_disagrees", "out_of_distribution"
UNKNOWN_KERNEL, OUTSIDE_RANGE, OTHER_MASKS = (
    "kernel_unlike_training",
    "outside_training_range",
    "lung_mask_unlike_training",
)
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


def _scanned_otherwise(answer: Answer, seen: TrainedOn) -> Warned:
    kernel, known = answer.kernel, sum(seen.kernels.values())
    if kernel and known >= KNOWN_SHARE * max(1, seen.cases) and (kernel == OTHER or kernel not in seen.kernels):
        named = ", ".join(name for name in seen.kernels if name != OTHER) or "others"
        yield (
            UNKNOWN_KERNEL,
            f"Its reconstruction kernel ({kernel}) is none that many training scans have ({named}): density and "
            "texture may differ for that reason alone.",
        )
    source, theirs = answer.tree["lung_mask"], " or ".join(map(_mask, seen.lung_masks))
    if seen.lung_masks and source not in seen.lung_masks:
        yield OTHER_MASKS, f"Its lung mask is {_mask(source)}, those of the training scans were {theirs}."


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
