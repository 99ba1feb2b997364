"""Whether a row is one that a clustering was not made of: a conformal test of its distances.

Two distances are looked at: to the nearest centroid, and from the principal subspace, for a scan can be far off in
directions that the PCA has dropped (the Q statistic of Jackson & Mudholkar 1979, Technometrics 21:341). Each is put on
a scale on which the median of the training rows is 0 and their 90 % quantile 1; the larger of the two is the row's
score. Its p-value is the share of training rows that score as high, the row itself among them (Vovk et al. 2005,
Algorithmic Learning in a Random World): for a row of the same population, P(p ≤ level) ≤ level.

That holds for scores of rows that the model has not seen. A training row lies nearer to a centroid that it has drawn to
itself, so training rows are scored as if each had been left out: the mean of the others of its cluster is n/(n − 1)
times as far, and the distance from the subspace is 1/(1 − h) times as large, h the row's leverage (as in Allen's PRESS
1974, Technometrics 16:125; for a principal subspace it is an approximation).
"""

from dataclasses import dataclass

import numpy as np

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.model import NO_VARIANCE, ClusterModel, Floats
from dcam_dist.clustering.placing import Placement, place, row_blocks

LEVEL = 0.01
"""Share of rows of the training rows' population that are flagged all the same."""
MOST_SCORES = 10_000
"""Of training rows that are kept; of more, every so many-th in their order."""
FEW_ROWS = 20
"""The quantiles of a cluster with fewer rows are those of all rows."""
_QUANTILES = (0.5, 0.9)
_HIGHEST_LEVERAGE = 0.9


@dataclass(frozen=True, eq=False)
class OutlierRule:
    """How far the training rows lie out.

    Attributes:
        distance_K2: Median and 90 % quantile of the distances to the nearest centroid, of each cluster.
        residual_2: The same of the distances from the principal subspace, of all rows.
        score_M: Scores of training rows, ascending.
    """

    distance_K2: Doubles
    residual_2: Doubles
    score_M: Doubles

    @property
    def smallest_p(self) -> float:
        """No p-value is smaller, so nothing can be flagged at a lower level."""
        return 1 / (len(self.score_M) + 1)

    def scores(self, placed: Placement) -> Doubles:
        """How far out rows lie, (N,): 0 as the median of the training rows, 1 as their 90 % quantile."""
        by_distance_N = _on_scale(placed.distance_N, self.distance_K2[placed.label_N])
        return np.maximum(by_distance_N, _on_scale(placed.residual_N, self.residual_2))

    def p_values(self, placed: Placement) -> Doubles:
        """p-value of each row, (N,), of rows that the model was not made of."""
        return (1 + self._as_far(self.scores(placed))) / (len(self.score_M) + 1)

    def p_values_within(self, score_N: Doubles) -> Doubles:
        """p-value of each training row among the others, (N,), from its score as if it had been left out."""
        return np.maximum(1, self._as_far(score_N)) / len(self.score_M)

    def _as_far(self, score_N: Doubles) -> Doubles:
        return (len(self.score_M) - np.searchsorted(self.score_M, score_N, side="left")).astype(np.float64)


def outlier_rule(features_NC: Floats, model: ClusterModel) -> tuple[OutlierRule, Doubles]:
    """The rule from the rows that a model was made of, and their scores (N,), each as if it had been left out."""
    placed = _left_out(place(features_NC, model), features_NC, model)
    everyone = np.quantile(placed.distance_N, _QUANTILES)
    clusters = [placed.distance_N[placed.label_N == k] for k in range(len(model.centroid_KP))]
    distance_K2 = np.stack([np.quantile(own, _QUANTILES) if len(own) >= FEW_ROWS else everyone for own in clusters])
    rule = OutlierRule(distance_K2, np.quantile(placed.residual_N, _QUANTILES), np.empty(0))
    score_N = rule.scores(placed)
    kept = np.linspace(0, len(score_N) - 1, min(len(score_N), MOST_SCORES)).round().astype(np.int64)
    return OutlierRule(distance_K2, rule.residual_2, np.sort(score_N)[kept]), score_N


def _left_out(placed: Placement, features_NC: Floats, model: ClusterModel) -> Placement:
    size_N = np.bincount(placed.label_N, minlength=len(model.centroid_KP))[placed.label_N]
    alone_N = np.full(len(size_N), np.inf)
    drawn_N = np.divide(placed.distance_N * size_N, size_N - 1, out=alone_N, where=size_N > 1)
    left_N = 1 - np.minimum(_leverage(features_NC, model), _HIGHEST_LEVERAGE)
    second_N = placed.distance_N + placed.margin_N
    distance_N = np.minimum(drawn_N, second_N)
    return Placement(placed.label_N, distance_N, second_N - distance_N, placed.residual_N / left_N)


def _leverage(features_NC: Floats, model: ClusterModel) -> Doubles:
    """1/n and the row's share in the variance along each axis, (N,)."""
    rows = len(features_NC)
    known = model.variance_P > NO_VARIANCE * model.variance_P.max()
    axes_PC, variance_P = model.components_PC[known].astype(np.float64), model.variance_P[known].astype(np.float64)
    leverage_N = np.full(rows, 1 / rows)
    for some in row_blocks(rows, features_NC.shape[1]):
        scaled_NC = (features_NC[some] - model.mean_C.astype(np.float64)) / model.scale_C.astype(np.float64)
        leverage_N[some] += (np.square(scaled_NC @ axes_PC.T) / variance_P).sum(axis=1) / max(1, rows - 1)
    return leverage_N


def _on_scale(value_N: Doubles, quantiles: Doubles) -> Doubles:
    """0 at the first of two quantiles, 1 at the second; above two equal ones infinite."""
    beyond_N, width = value_N - quantiles[..., 0], quantiles[..., 1] - quantiles[..., 0]
    outside_N = np.where(beyond_N > 0, np.inf, 0.0)
    return np.divide(beyond_N, width, out=outside_N, where=width > 0)
