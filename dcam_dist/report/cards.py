"""One card for each class: who is in it, what it looks like, and in what it differs from the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dcam_dist.cohort import Cohort
from dcam_dist.errors import VolumeDamaged
from dcam_dist.maps.compute import MappedCase, map_case
from dcam_dist.maps.scene import Scene, open_scene
from dcam_dist.report.differences import AgainstOthers, Difference, against_others
from dcam_dist.report.facts import never_answered
from dcam_dist.report.pictures import case_picture
from dcam_dist.report.placing import Placed, ShownCases
from dcam_dist.report.regions import REGIONS, RegionShares, mean_shares, region_shares
from dcam_dist.report.study import Study
from dcam_dist.runs import RestoredRun

NO_LABEL = "no label"


@dataclass(frozen=True)
class CasePicture:
    """A case as a card shows it.

    Attributes:
        case_id: Its id.
        typical: Whether it is typical; else it is borderline.
        uri: The picture; empty where the case could not be read.
        size: Its width and height in pixels.
        facts: Label, densitometry and margin in a few words.
        text: What the picture shows, for whoever does not see it.
    """

    case_id: str
    typical: bool
    uri: str
    size: tuple[int, int]
    facts: str
    text: str


@dataclass(frozen=True, eq=False)
class Card:
    """One class.

    Attributes:
        class_id: 0-based.
        title: What it is called.
        train: Training cases.
        test: Test cases; ``None`` where they are not known.
        share: Of the training cases.
        labels: Label and number of cases of both splits, in the order of the label set.
        pictures: Typical cases, then borderline ones.
        regions: Where the maps of the typical cases speak for the class.
        laa_regions: Median LAA-950 in the same regions over all cases of the class, in percent, by region.
        measures: Densitometry and covariates beside all other cases.
        silent: Whether the head, whose maps these are, never answers it although it has cases.
    """

    class_id: int
    title: str
    train: int
    test: int | None
    share: float
    labels: tuple[tuple[str, int], ...]
    pictures: tuple[CasePicture, ...]
    regions: tuple[RegionShares, ...]
    laa_regions: Mapping[str, float]
    measures: tuple[AgainstOthers, ...]
    silent: bool


@dataclass(frozen=True, eq=False)
class Seen:
    """What was read of the cases that are shown.

    Attributes:
        pictures: By case.
        regions: Shares of its class in each region, by typical case.
        damaged: Cases whose volumes cannot be read.
        answers: The head's most probable class and its probability, by case.
    """

    pictures: Mapping[str, tuple[str, int, int]]
    regions: Mapping[str, dict[str, tuple[float, float]]]
    damaged: tuple[str, ...]
    answers: Mapping[str, tuple[int, float]]


def look_at(
    run: RestoredRun, cohort: Cohort, shown: Sequence[ShownCases], keep: Callable[[Scene, int], None] | None
) -> Seen:
    """Pass the shown cases through the network, one in memory at a time, and draw them.

    Args:
        run: The run.
        cohort: Where they are.
        shown: The cases of each class.
        keep: Gets the scene of the most typical readable case of each class, and the class; ``None``: none is kept.
    """
    pictures, regions, damaged, answers = {}, {}, [], {}
    for group in shown:
        kept = False
        for case_id in (*group.typical, *group.borderline):
            try:
                scene = open_scene(map_case(run, cohort, case_id), cohort)
            except VolumeDamaged:
                damaged.append(case_id)
                continue
            pictures[case_id] = case_picture(scene, group.class_id)
            answers[case_id] = heads_answer(scene.mapped)
            if case_id in group.typical:
                regions[case_id] = region_shares(scene.mapped, group.class_id)
                if keep is not None and not kept:
                    keep(scene, group.class_id)
                    kept = True
    return Seen(pictures, regions, tuple(damaged), answers)


def cards_of(study: Study, found: Sequence[Difference], shown: Sequence[ShownCases], seen: Seen) -> tuple[Card, ...]:
    """The cards of all classes, an empty one too."""
    return tuple(_card(study, found, group, seen) for group in shown)


def _card(study: Study, found: Sequence[Difference], group: ShownCases, seen: Seen) -> Card:
    k, train, heads_KK = group.class_id, study.sizes(train=True), study.heads_KK
    tested = not study.is_train_N.all() and bool((study.cluster_N[~study.is_train_N] >= 0).any())
    regions = mean_shares([seen.regions[case_id] for case_id in group.typical if case_id in seen.regions])
    return Card(
        class_id=k,
        title=study.names.titles[k],
        train=int(train[k]),
        test=int(study.sizes(train=False)[k]) if tested else None,
        share=float(train[k] / max(1, train.sum())),
        labels=_labels(study, k),
        pictures=tuple(
            _picture(study, case_id, case_id in group.typical, k, seen)
            for case_id in (*group.typical, *group.borderline)
        ),
        regions=regions,
        laa_regions=_laa_regions(study, k),
        measures=tuple(against_others(one, study.cluster_N, k) for one in found),
        silent=heads_KK is not None and bool(never_answered(heads_KK)[k]),
    )


def heads_answer(mapped: MappedCase) -> tuple[int, float]:
    """The head's most probable class of a case, 0-based, and its probability."""
    return int(mapped.probability_K.argmax()), float(mapped.probability_K.max())


def _labels(study: Study, class_id: int) -> tuple[tuple[str, int], ...]:
    names, inside = study.cohort.description.label_names, study.label_N[study.cluster_N == class_id]
    if not study.labelled:
        return ()
    counted = [(name, int((inside == number).sum())) for number, name in enumerate(names)]
    unlabelled = int((inside < 0).sum())
    return (*counted, (NO_LABEL, unlabelled)) if unlabelled else tuple(counted)


def _laa_regions(study: Study, class_id: int) -> dict[str, float]:
    found = {}
    for region in REGIONS:
        values = [
            case.densitometry.get(f"laa950_{region}", np.nan)
            for case, k in zip(study.cases, study.cluster_N, strict=True)
            if k == class_id
        ]
        known = [value for value in values if np.isfinite(value)]
        if known:
            found[region] = float(np.median(known))
    return found


def _picture(study: Study, case_id: str, typical: bool, class_id: int, seen: Seen) -> CasePicture:
    uri, *size = seen.pictures.get(case_id, ("", 0, 0))
    title = study.names.titles[class_id]
    text = (
        f"Coronal CT slice of {case_id}, and beside it the map of {title} over it: "
        f"{'a typical' if typical else 'a borderline'} case."
    )
    return CasePicture(
        case_id, typical, uri, (int(size[0]), int(size[1])), _facts(study, case_id, study.placed, seen), text
    )


def _facts(study: Study, case_id: str, placed: Placed, seen: Seen) -> str:
    record, row = study.cohort.case(case_id), placed.case_id_N.index(case_id)
    parts = []
    if record.label >= 0:
        parts.append(study.cohort.description.label_names[record.label])
    laa950 = record.densitometry.get("laa950", np.nan)
    if np.isfinite(laa950):
        parts.append(f"LAA-950 {laa950:.1f} %")
    if case_id in seen.answers and placed.class_N[row] != seen.answers[case_id][0]:
        parts.append(f"the head answers {study.names.titles[seen.answers[case_id][0]]}")
    parts.append(f"margin {placed.margin_N[row]:.2f}".replace("-", "−"))
    return " · ".join(parts)
