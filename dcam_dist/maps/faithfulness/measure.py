"""A run measured: rules from the training cases, then everything of the cases that are reported."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dcam_dist import __version__
from dcam_dist.cohort import Cohort
from dcam_dist.errors import DataError
from dcam_dist.maps.faithfulness import case as one
from dcam_dist.maps.faithfulness.case import CaseMeasures, Rules
from dcam_dist.maps.faithfulness.explain import Explained, explain, own_method
from dcam_dist.maps.faithfulness.journal import Journal, open_journal
from dcam_dist.maps.faithfulness.overlap import Sample, fit_rules
from dcam_dist.maps.faithfulness.stored import FORMAT, case_of, case_to_json, rules_of, rules_to_json
from dcam_dist.maps.faithfulness.targets import TITLES, Shares, target_shares
from dcam_dist.maps.naming import ClassNames, class_names
from dcam_dist.runs import RestoredRun, fingerprint
from dcam_dist.types import CaseRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class RunMeasures:
    """What was found of one run.

    Attributes:
        method: ``dcam``, ``baseline`` or ``supervised``.
        own: What its maps are, ``dcam`` or ``cam``.
        names: Of its classes.
        label_names: Of the cohort's grades.
        split: The split that is reported: ``test``, or ``train`` where the cohort has no test case.
        normal_hu: The median of the training cases' lung voxels, which stands for normal lung.
        rules: By method and target, one for each class.
        cases: The training cases, then the reported ones; the same ones where the split is ``train``.
        bootstrap: Resamples of each interval.
        seed: Of the resamples.
    """

    method: str
    own: str
    names: ClassNames
    label_names: tuple[str, ...]
    split: str
    normal_hu: float
    rules: Rules
    cases: tuple[CaseMeasures, ...]
    bootstrap: int
    seed: int

    @property
    def reported(self) -> tuple[CaseMeasures, ...]:
        """The cases that the tables speak of."""
        return tuple(case for case in self.cases if case.split == self.split)

    @property
    def methods(self) -> tuple[str, ...]:
        """The explanations, in their order."""
        return tuple(self.cases[0].values)

    @property
    def targets(self) -> tuple[str, ...]:
        """What they were held against, in its order."""
        return tuple(dict.fromkeys(target for case in self.reported for target in case.prevalence))


def measure_run(
    run: RestoredRun, cohort: Cohort, lesions: Mapping[str, Path], at_most: int | None = None
) -> RunMeasures:
    """Measure the maps of a run on a cohort, the network staying on its device.

    What is found is kept beside the run, so that the same call goes on after an interruption.

    Args:
        run: A finished run.
        cohort: Its cohort.
        lesions: Lesion masks by case id; cases without one are left out of what is said of lesions.
        at_most: Cases of each split, spread evenly over its order; ``None``: all.

    Raises:
        DataError: A damaged volume or an unreadable lesion mask.
        EnvironmentFault: The run's directory cannot be written.
    """
    train, test = (spread(cohort.split(split), at_most) for split in ("train", "test"))
    if not train:
        raise DataError(f"{cohort.path}: no training case, by which directions and thresholds would be decided")
    names, journal = class_names(run.config), open_journal(run.path, _about(run, cohort, lesions, at_most))
    left = iter(journal.left)
    decided = next(left, None) or _decide(run, cohort, train, lesions, journal)
    rules, normal_hu = rules_of(decided["rules"]), decided["normal_hu"]
    trees = {tree["case_id"]: tree for tree in left}
    for place, record in enumerate(test or train, start=1):
        if record.case_id not in trees:
            found = measure_case(run, cohort, record, lesions, rules, normal_hu)
            trees[record.case_id] = case_to_json(found, names)
            journal.add(trees[record.case_id])
        log.info("%s: measured, %d of %d", record.case_id, place, len(test or train))
    return RunMeasures(
        method=run.config.method,
        own=own_method(run.network),
        names=names,
        label_names=cohort.description.label_names,
        split="test" if test else "train",
        normal_hu=normal_hu,
        rules=rules,
        cases=tuple(case_of(tree, names) for tree in (*(decided["cases"] if test else ()), *trees.values())),
        bootstrap=run.config.evaluation.bootstrap,
        seed=run.config.seed,
    )


def _about(run: RestoredRun, cohort: Cohort, lesions: Mapping[str, Path], at_most: int | None) -> str:
    """All that decides the numbers: the run, the cohort, the masks, how many cases, and how it is measured."""
    masks = [(case_id, path.stat().st_size, path.stat().st_mtime_ns) for case_id, path in sorted(lesions.items())]
    parts = (
        FORMAT,
        __version__,
        fingerprint(run.checkpoint),
        cohort.description,
        cohort.cases,
        cohort.seals,
        masks,
        at_most,
    )
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _decide(
    run: RestoredRun,
    cohort: Cohort,
    train: Sequence[CaseRecord],
    lesions: Mapping[str, Path],
    journal: Journal,
) -> dict[str, Any]:
    """What the training cases decide, kept in one piece: their voxels are too many to be kept case by case."""
    fitted, found = [], []
    for record in train:
        explained, shares = _look(run, cohort, record, lesions)
        found.append(one.agreement(explained, shares, run))
        fitted.append(one.samples(explained, shares, found[-1]))
        log.info("%s: rules, %d of %d", record.case_id, len(found), len(train))
    decided = {
        "normal_hu": median_lung_hu(cohort, train),
        "rules": rules_to_json(_rules(fitted, run.config.classes)),
        "cases": [case_to_json(case, class_names(run.config)) for case in found],
    }
    journal.add(decided)
    return decided


def measure_case(
    run: RestoredRun,
    cohort: Cohort,
    record: CaseRecord,
    lesions: Mapping[str, Path],
    rules: Rules,
    normal_hu: float,
) -> CaseMeasures:
    """Everything of one case that is reported."""
    explained, shares = _look(run, cohort, record, lesions)
    low, high = run.config.data.window_hu
    curves = one.follow(explained, run, float(np.clip((normal_hu - low) / (high - low), 0, 1)))
    found = one.agreement(explained, shares, run)
    further = one.by_rule(explained, shares, found, rules)
    values = {
        method: {**values, **further[method], **one.areas(curves.get(method, {}))}
        for method, values in found.values.items()
    }
    return replace(
        found,
        values=values,
        curves=curves,
        similarity=one.similarities(explained, run),
        chance_similarity=one.chance_similarity(explained, run),
    )


def spread(records: Sequence[CaseRecord], at_most: int | None) -> tuple[CaseRecord, ...]:
    """At most so many cases, evenly over their order."""
    if at_most is None or len(records) <= at_most:
        return tuple(records)
    return tuple(records[place] for place in np.linspace(0, len(records) - 1, at_most).round().astype(int))


def median_lung_hu(cohort: Cohort, records: Sequence[CaseRecord]) -> float:
    """The median of the lung voxels of some cases on the training grid, all cases together."""
    counts = np.zeros(2**16, np.int64)
    for record in records:
        hu, lungs = cohort.read(record.case_id)
        counts += np.bincount(hu[lungs].astype(np.int64) + 2**15, minlength=2**16)
    return float(np.searchsorted(np.cumsum(counts), counts.sum() / 2) - 2**15)


def _look(
    run: RestoredRun, cohort: Cohort, record: CaseRecord, lesions: Mapping[str, Path]
) -> tuple[Explained, dict[str, Shares]]:
    explained = explain(run, cohort, record.case_id)
    return explained, target_shares(cohort, record.case_id, lesions.get(record.case_id))


def _rules(fitted: Sequence[Mapping[tuple[str, str], Sample]], classes: int) -> Rules:
    """Of every target, known of a training case or not: a test case may have what none of them has."""
    methods = dict.fromkeys(method for method, _ in fitted[0])
    keys = [(method, target) for method in methods for target in TITLES]
    return {key: fit_rules([samples[key] for samples in fitted if key in samples], classes) for key in keys}
