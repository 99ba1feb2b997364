"""One scan measured: every number that its explanations get."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dcam_dist.config.seeds import derived_seed
from dcam_dist.maps.faithfulness import overlap
from dcam_dist.maps.faithfulness.curves import Curves, Scores, perturbation, perturbation_curves, replacements
from dcam_dist.maps.faithfulness.explain import (
    RANDOM_WEIGHTS,
    SHOWN,
    Explained,
    class_scores,
    own_method,
    randomized_maps,
    untrained_map,
)
from dcam_dist.maps.faithfulness.similarity import spearman, ssim, varies
from dcam_dist.maps.faithfulness.targets import Shares
from dcam_dist.runs import RestoredRun

Values = dict[str, float]
Rules = Mapping[tuple[str, str], tuple[overlap.Rule, ...]]
SCORES = ("probability", "margin")
UNCURVED = (SHOWN,)
"""Without deletion and insertion, which cost thirty passes a map: it has nearly the order of the own map."""
SAMPLE_VOXELS = 20_000


@dataclass(frozen=True, eq=False)
class CaseMeasures:
    """What was found of one scan.

    Attributes:
        case_id: The case.
        split: Its split.
        class_id: The class that all maps explain, 0-based.
        label: Its grade, or ``UNASSIGNED``.
        head_agrees: Whether the head gives this class the highest probability; a map is of the head.
        invariant: |lung mean of the map − logit|, the largest over the classes.
        prevalence: Share of the lungs that each target takes: what AUPRC is by chance.
        ceiling: AUPRC of the target itself, on the grid: no map can reach more.
        values: By method, then by measure: ``auprc/TARGET/forward`` and ``/inverted``, ``spearman/TARGET``; of the
            scans that are reported also ``auprc/TARGET`` and ``dice/TARGET`` by the rule, and
            ``deletion|insertion|gap/REPLACEMENT/SCORE``.
        similarity: By stage of the cascading randomization: ``spearman`` and ``ssim`` with the map itself.
        chance_similarity: ``spearman`` of the maps of two networks that have learnt nothing, of this scan and class.
        curves: By method, then by replacement; none of a map that does not vary, which has no order.
    """

    case_id: str
    split: str
    class_id: int
    label: int
    head_agrees: bool
    invariant: float
    prevalence: Values
    ceiling: Values
    values: Mapping[str, Values]
    similarity: Mapping[str, Values] = field(default_factory=dict)
    chance_similarity: float = float("nan")
    curves: Mapping[str, Mapping[str, Curves]] = field(default_factory=dict)


def agreement(explained: Explained, shares: Mapping[str, Shares], run: RestoredRun) -> CaseMeasures:
    """What needs neither a rule nor further passes through the network."""
    mapped, lungs = explained.mapped, explained.mapped.lung_mask_DHW
    values: dict[str, Values] = {}
    for method, map_DHW in explained.maps.items():
        found = values[method] = {}
        for target, share_DHW in shares.items():
            value_N, share_N = map_DHW[lungs], share_DHW[lungs]
            found[f"auprc/{target}/forward"] = overlap.average_precision(value_N, share_N)
            found[f"auprc/{target}/inverted"] = overlap.average_precision(-value_N, share_N)
            found[f"spearman/{target}"] = spearman(value_N, share_N)
    record = mapped.record
    return CaseMeasures(
        case_id=record.case_id,
        split=record.split,
        class_id=mapped.class_id,
        label=record.label,
        head_agrees=int(mapped.probability_K.argmax()) == mapped.class_id,
        invariant=invariant(explained) if run.network.body.stride == 1 else float("nan"),
        prevalence={target: float(share[lungs].mean()) for target, share in shares.items()},
        ceiling={target: overlap.average_precision(share[lungs], share[lungs]) for target, share in shares.items()},
        values=values,
    )


def invariant(explained: Explained) -> float:
    """The largest difference between the lung mean of a dCAM and the scan's logit."""
    maps, lungs = explained.mapped.maps, explained.mapped.lung_mask_DHW
    mean_K = maps.dense_KDHW[:, lungs].mean(axis=1, dtype=np.float64)
    return float(np.abs(mean_K - maps.logit_K).max())


def samples(
    explained: Explained, shares: Mapping[str, Shares], found: CaseMeasures
) -> dict[tuple[str, str], overlap.Sample]:
    """What the rules are fitted on: some voxels of each map and target."""
    lungs = np.flatnonzero(explained.mapped.lung_mask_DHW)
    if lungs.size > SAMPLE_VOXELS:
        lungs = np.random.default_rng(explained.seed).choice(lungs, SAMPLE_VOXELS, replace=False)
    return {
        (method, target): overlap.Sample(
            found.class_id,
            map_DHW.ravel()[lungs],
            share_DHW.ravel()[lungs],
            found.values[method][f"auprc/{target}/forward"],
            found.values[method][f"auprc/{target}/inverted"],
        )
        for method, map_DHW in explained.maps.items()
        for target, share_DHW in shares.items()
    }


def by_rule(explained: Explained, shares: Mapping[str, Shares], found: CaseMeasures, rules: Rules) -> dict[str, Values]:
    """AUPRC in the direction, and Dice at the threshold, that the training cases decided."""
    lungs = explained.mapped.lung_mask_DHW
    values: dict[str, Values] = {method: {} for method in explained.maps}
    for method, map_DHW in explained.maps.items():
        for target, share_DHW in shares.items():
            rule = rules[method, target][found.class_id]
            direction = "forward" if rule.sign > 0 else "inverted"
            values[method][f"auprc/{target}"] = found.values[method][f"auprc/{target}/{direction}"]
            predicted_N = rule.sign * map_DHW[lungs] >= rule.threshold
            values[method][f"dice/{target}"] = overlap.dice(predicted_N, share_DHW[lungs])
    return values


def similarities(explained: Explained, run: RestoredRun) -> dict[str, Values]:
    """How alike the map stays to itself while the network's stages are given back to chance."""
    lungs, class_id = explained.mapped.lung_mask_DHW, explained.mapped.class_id
    own = explained.maps[own_method(run.network)]
    steps = randomized_maps(run, explained.volume_DHW, lungs, class_id, explained.seed)
    return {
        stage: {"spearman": spearman(own[lungs], other[lungs]), "ssim": ssim(own, other, lungs)}
        for stage, other in steps
    }


def chance_similarity(explained: Explained, run: RestoredRun) -> float:
    """How alike two maps are of which neither shows anything learnt; the classes of both are told apart by chance."""
    seed, lungs = derived_seed(explained.seed, "another untrained network", 0), explained.mapped.lung_mask_DHW
    other = untrained_map(run, explained.volume_DHW, lungs, explained.mapped.class_id, seed)
    return spearman(explained.maps[RANDOM_WEIGHTS][lungs], other[lungs])


def follow(explained: Explained, run: RestoredRun, normal: float) -> dict[str, dict[str, Curves]]:
    """Deletion and insertion curves of the maps that have them, by method and replacement."""
    volume, lungs, class_id = explained.volume_DHW, explained.mapped.lung_mask_DHW, explained.mapped.class_id

    def score(changed_DHW: NDArray[np.float32]) -> Scores:
        probability_K, margin_K = class_scores(run, changed_DHW, lungs)
        return np.array([probability_K[class_id], margin_K[class_id]], dtype=np.float64)

    curved = {method: map_DHW for method, map_DHW in explained.maps.items() if method not in UNCURVED}
    ordered = {method: map_DHW for method, map_DHW in curved.items() if varies(map_DHW[lungs])}
    whole_M = score(volume)
    found: dict[str, dict[str, Curves]] = {method: {} for method in curved}
    for name, replacement in replacements(volume, lungs, normal).items():
        at = perturbation(volume, replacement, lungs, score, whole_M, seed=explained.seed)
        for method, map_DHW in ordered.items():
            found[method][name] = perturbation_curves(at, map_DHW)
    return found


def areas(curves: Mapping[str, Curves]) -> Values:
    """Areas under the curves of one map, and what insertion has more than deletion: 0 for an order at random."""
    found: Values = {}
    for replacement, both in curves.items():
        for score, deletion, insertion in zip(SCORES, *both.areas(), strict=True):
            found[f"deletion/{replacement}/{score}"] = float(deletion)
            found[f"insertion/{replacement}/{score}"] = float(insertion)
            found[f"gap/{replacement}/{score}"] = float(insertion - deletion)
    return {name: value for name, value in found.items() if not np.isnan(value)}
