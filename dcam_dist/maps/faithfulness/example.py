"""Scans for the figure: the same slice of the CT, of the target and of each map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from dcam_dist.cohort import Cohort
from dcam_dist.maps.compute import Floats
from dcam_dist.maps.faithfulness.case import CaseMeasures
from dcam_dist.maps.faithfulness.explain import DENSITY, GRAD_CAM, RANDOM_WEIGHTS, TITLES, Explained, explain
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.targets import LESIONS, target_shares
from dcam_dist.maps.scene import open_scene
from dcam_dist.maps.slices import PLANES, SMALLEST_SHARE, Plane, Slice, cut, native_index, sample_plane
from dcam_dist.runs import RestoredRun
from dcam_dist.types import UNASSIGNED

EXAMPLES = 2
PLANE: Plane = "coronal"
AXIS = PLANES.index(PLANE)


@dataclass(frozen=True, eq=False)
class Example:
    """One scan in one slice.

    Attributes:
        caption: Its grade, where it has one, and the classes that the maps explain.
        view: The CT and the lungs.
        target: Name of what is marked in ``target_RC``.
        target_RC: Share of each pixel, 0…1.
        ranks: By title, the share of the scan's lung voxels with a lower value, 0…1: maps have no unit in common.
    """

    caption: str
    view: Slice
    target: str
    target_RC: Floats
    ranks: Mapping[str, Floats]


def choose(cases: Sequence[CaseMeasures], target: str) -> list[str]:
    """Of the cases that show a target, the one with the most of it and the one in the middle."""
    known = sorted((case for case in cases if case.prevalence.get(target)), key=lambda case: case.prevalence[target])
    places = [len(known) - 1, (len(known) - 1) // 2] if known else []
    return [known[place].case_id for place in dict.fromkeys(places)][:EXAMPLES]


def make_example(
    runs: Mapping[str, tuple[RestoredRun, RunMeasures]], cohort: Cohort, case_id: str, lesions: Mapping[str, Path]
) -> Example:
    """Cut one case through where its target is most.

    Args:
        runs: By name, all of this cohort.
        cohort: The cohort.
        case_id: The case.
        lesions: Lesion masks by case id.
    """
    shares = target_shares(cohort, case_id, lesions.get(case_id))
    target = LESIONS if LESIONS in shares else "laa950"
    explained = {name: explain(run, cohort, case_id) for name, (run, _) in runs.items()}
    first = next(iter(explained.values()))
    lungs, record = first.mapped.lung_mask_DHW, first.mapped.record
    area = lungs.sum(axis=(0, 2))
    amount = np.where(area >= SMALLEST_SHARE * area.max(), (shares[target] * lungs).sum(axis=(0, 2)), -1)
    index = native_index(record, AXIS, int(amount.argmax()))
    titles, volumes = zip(*_layers(explained, runs), strict=True)
    values_KRC = sample_plane(np.stack([shares[target] * lungs, *volumes]), record, PLANE, index)
    grades = next(iter(runs.values()))[1].label_names
    classes = ", ".join(
        f"{name}: {measures.names.titles[explained[name].mapped.class_id]}" for name, (_, measures) in runs.items()
    )
    grade = "" if record.label == UNASSIGNED else f"{grades[record.label]} · "
    view = cut(open_scene(first.mapped, cohort), PLANE, index)
    return Example(f"{grade}{classes}", view, target, values_KRC[0], dict(zip(titles, values_KRC[1:], strict=True)))


def _layers(
    explained: Mapping[str, Explained], runs: Mapping[str, tuple[RestoredRun, RunMeasures]]
) -> list[tuple[str, Floats]]:
    found, several = [], len(runs) > 1
    for name, (_, measures) in runs.items():
        for method in (measures.own, GRAD_CAM, RANDOM_WEIGHTS):
            if several and method == RANDOM_WEIGHTS and name != next(iter(runs)):
                continue
            title = f"{TITLES[method]}\n{name}" if several else TITLES[method]
            found.append((title, _ranks(explained[name], method)))
    one = next(iter(explained.values()))
    return found if several else [*found, (TITLES[DENSITY], _ranks(one, DENSITY))]


def _ranks(explained: Explained, method: str) -> Floats:
    lungs = explained.mapped.lung_mask_DHW
    ranks = np.zeros(lungs.shape, np.float32)
    # voxels of the same value at its lower end, as all that a Grad-CAM cuts off at 0: none of them has a lower one
    ranks[lungs] = (rankdata(explained.maps[method][lungs], method="min") - 1) / max(1, lungs.sum() - 1)
    return ranks
