"""Several reconstructions of one acquisition, and whether they are told different things.

The lungs are the same, so where cluster or densitometry differ it is the reconstruction that is seen, not the disease.
Two scans are taken for one acquisition when their lungs lie in the same box of the patient and hold the same volume,
and when study and frame of reference are the same, where both headers name them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dcam_dist.cohort.spatial import corners_mm
from dcam_dist.inference.answer import Answer

DISAGREE = "reconstructions_disagree"
BOX_MM = 6.0
"""Corners of the lungs' boxes that are farther apart are of another acquisition, or breath."""
VOLUME_SHARE, VOLUME_SHARE_UNNAMED = 0.05, 0.02
"""By which lung volumes may differ: with the acquisition named by both headers, and without."""
LAA_POINTS = 2.0
"""Difference in LAA-950, in points of a percentage, from which two reconstructions disagree."""


@dataclass(frozen=True)
class Pair:
    """Two reconstructions of one acquisition."""

    first: Answer
    second: Answer

    @property
    def laa_points(self) -> float:
        """By how much their LAA-950 differs."""
        laa = [answer.densitometry["laa950"] for answer in (self.first, self.second)]
        return abs(laa[0] - laa[1])

    @property
    def disagree(self) -> bool:
        """Whether they are told different things."""
        return self.first.number != self.second.number or self.laa_points > LAA_POINTS


def find_pairs(answers: Iterable[Answer], acquisitions: Mapping[str, str]) -> tuple[Pair, ...]:
    """All pairs of reconstructions of one acquisition, in the order of the case ids.

    Args:
        answers: Of one model.
        acquisitions: What names study and frame of reference, by case id, where they are known.
    """
    ordered = sorted(answers, key=lambda answer: (answer.densitometry["volume_ml"], answer.case_id))
    pairs = []
    for place, first in enumerate(ordered):
        for second in ordered[place + 1 :]:
            if second.densitometry["volume_ml"] > first.densitometry["volume_ml"] * (1 + VOLUME_SHARE):
                break
            named = [acquisitions.get(answer.case_id, "") for answer in (first, second)]
            if _one_acquisition(first, second, named):
                pairs.append(Pair(*sorted((first, second), key=lambda answer: answer.case_id)))
    return tuple(sorted(pairs, key=lambda pair: (pair.first.case_id, pair.second.case_id)))


def with_reconstructions(answers: Iterable[Answer], pairs: Iterable[Pair]) -> tuple[Answer, ...]:
    """The answers by id, closed: with other reconstructions of their acquisition, and a warning where they disagree."""
    by_id = {answer.case_id: answer for answer in sorted(answers, key=lambda answer: answer.case_id)}
    for pair in pairs:
        for own, other in ((pair.first, pair.second), (pair.second, pair.first)):
            by_id[own.case_id] = _told(by_id[own.case_id], other, pair)
    return tuple(answer.closed() for answer in by_id.values())


def alone(answer: Answer) -> Answer:
    """The answer as it was before ``with_reconstructions``."""
    tree = answer.tree
    told = sum(other["disagrees"] for other in tree["other_reconstructions"])
    warnings = tree["warnings"][: len(tree["warnings"]) - told]
    flags = [flag for flag in tree["flags"] if flag != DISAGREE]
    return Answer({**tree, "flags": flags, "warnings": warnings, "other_reconstructions": [], "closed": False})


def in_words(pair: Pair) -> str:
    """Both reconstructions and in what they differ, for the console."""
    return f"{_named(pair.first)} and {_named(pair.second)}: {'; '.join(_differences(pair.first, pair.second))}"


def _told(own: Answer, other: Answer, pair: Pair) -> Answer:
    entry = {
        "case_id": other.case_id,
        "kernel": other.kernel,
        other.kind: other.number,
        "laa950": other.densitometry["laa950"],
        "disagrees": pair.disagree,
    }
    told = Answer({**own.tree, "other_reconstructions": [*own.tree["other_reconstructions"], entry]})
    if not pair.disagree:
        return told
    return told.warned(
        DISAGREE,
        f"{_named(own)} and {_named(other)} are two reconstructions of one acquisition, and disagree: "
        f"{'; '.join(_differences(own, other))}. The lungs are the same, so the kernel decides; "
        "trust neither before you know which is like the training scans.",
    )


def _differences(own: Answer, other: Answer) -> Iterator[str]:
    if own.number != other.number:
        yield f"{own.title} against {other.title}"
    laa = [answer.densitometry["laa950"] for answer in (own, other)]
    yield f"LAA-950 {laa[0]:.1f} % against {laa[1]:.1f} %"


def _named(answer: Answer) -> str:
    return f"{answer.case_id} (kernel {answer.kernel or 'not known'})"


def _one_acquisition(first: Answer, second: Answer, named: Sequence[str]) -> bool:
    """Of scans of which neither's lungs hold more than ``VOLUME_SHARE`` more than the other's."""
    if all(named) and named[0] != named[1]:
        return False
    volumes = sorted(answer.densitometry["volume_ml"] for answer in (first, second))
    if not all(named) and volumes[1] > volumes[0] * (1 + VOLUME_SHARE_UNNAMED):
        return False
    apart_mm = np.linalg.norm(corners_mm(first.lungs_box) - corners_mm(second.lungs_box), axis=0)
    return bool(apart_mm.max() <= BOX_MM)
