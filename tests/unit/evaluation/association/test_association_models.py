"""Adjusted models: planted effects found, figures equal to those of textbook formulas and of other libraries."""

import numpy as np
import pytest
from scipy import optimize, stats

from dcam_dist.evaluation.association.columns import Variable
from dcam_dist.evaluation.association.models import adjusted_model

ORDER = (1, 0, 2)


def numeric(name, values):
    return Variable(name, "table", "numeric", np.asarray(values, float))


def cohort(n=300, seed=0):
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, 3, n)
    age = rng.normal(60, 8, n) + 5 * cluster  # the clusters differ in age
    sex = np.where(rng.random(n) < 0.5, "F", "M")
    return rng, cluster, numeric("age", age), Variable("sex", "table", "binary", sex)


def test_least_squares_with_hc3_by_the_formula():
    rng, cluster, age, sex = cohort()
    outcome = 0.3 * age.values_N + 4.0 * (cluster == 2) + rng.normal(0, 1 + cluster, cluster.size)
    outcome[:7] = np.nan
    found = adjusted_model(numeric("sgrq", outcome), cluster, [age, sex], ORDER)

    used = np.isfinite(outcome)
    x = np.column_stack([np.ones(cluster.size), cluster == 0, cluster == 2, age.values_N, sex.values_N == "M"]).astype(
        float
    )[used]
    y = outcome[used]
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    weighted = x * ((y - x @ beta) / (1 - leverage))[:, None]
    covariance = inverse @ (weighted.T @ weighted) @ inverse
    error = np.sqrt(np.diag(covariance))
    df = y.size - x.shape[1]
    p = 2 * stats.t.sf(np.abs(beta / error), df)
    zero, two, joint = found.effects
    assert (found.n, found.reference, zero.cluster, two.cluster, joint.cluster) == (293, 1, 0, 2, None)
    assert (two.estimate, two.error, two.p_value) == pytest.approx((beta[2], error[2], p[2]))
    assert two.high == pytest.approx(beta[2] + stats.t.ppf(0.975, df) * error[2])
    f = beta[1:3] @ np.linalg.inv(covariance[1:3, 1:3]) @ beta[1:3] / 2
    assert (joint.estimate, joint.p_value) == pytest.approx((f, stats.f.sf(f, 2, df)))
    assert two.low < 4.0 < two.high
    assert zero.low < 0.0 < zero.high


def test_an_effect_that_is_all_age_goes_with_age():
    rng, cluster, age, sex = cohort(n=600)
    outcome = numeric("fev1", -0.5 * age.values_N + rng.normal(0, 2, cluster.size))
    crude, adjusted = (adjusted_model(outcome, cluster, by, ORDER).effects[-1].p_value for by in ([sex], [sex, age]))
    assert crude < 1e-6
    assert adjusted > 0.01


def test_logistic_by_maximum_likelihood():
    rng, cluster, age, _ = cohort(n=500)
    odds = -0.5 + 1.5 * (cluster == 2) + 0.05 * (age.values_N - 60)
    died = rng.random(cluster.size) < 1 / (1 + np.exp(-odds))
    variable = Variable("died", "table", "binary", np.where(died, "yes", "no"))
    found = adjusted_model(variable, cluster, [age], ORDER)

    x = np.column_stack([np.ones(cluster.size), cluster == 0, cluster == 2, (age.values_N - 60) / 10]).astype(float)
    fit = optimize.minimize(lambda b: np.sum(np.logaddexp(0, x @ b) - died * (x @ b)), np.zeros(4), tol=1e-12)
    mean = 1 / (1 + np.exp(-x @ fit.x))
    bread = np.linalg.inv((x * (mean * (1 - mean))[:, None]).T @ x)
    score = x * (died - mean)[:, None]
    error = np.sqrt(np.diag(bread @ score.T @ score @ bread))
    two = found.effects[1]
    assert (found.model, found.level) == ("logistic", "yes")
    assert two.estimate == pytest.approx(fit.x[2], abs=1e-4)
    assert two.error == pytest.approx(error[2], rel=1e-3)
    assert two.low < 1.5 < two.high


def test_small_clusters_take_no_part_and_too_few_cases_have_no_model():
    rng, cluster, age, _ = cohort(n=60)
    cluster = np.where(np.arange(60) < 4, 3, cluster)
    outcome = numeric("x", rng.normal(size=60))
    found = adjusted_model(outcome, cluster, [age], (3, 1, 0, 2))
    assert found.n == 56
    assert found.reference == 1
    assert [effect.cluster for effect in found.effects] == [0, 2, None]
    few = adjusted_model(numeric("x", np.where(np.arange(60) < 9, outcome.values_N, np.nan)), cluster, [age], ORDER)
    assert few.effects == ()
    assert few.note == "fewer than two clusters with 5 complete cases"


def test_what_cannot_be_estimated_is_said_and_not_guessed():
    rng, cluster, age, _ = cohort(n=90)
    two_level = np.where((rng.random(90) < 0.5) & (cluster != 2), "y", "n")
    separated = adjusted_model(Variable("x", "table", "binary", two_level), cluster, [age], ORDER)
    assert (separated.effects, separated.note) == ((), "separation: a cluster with one level only")
    parted = np.where(age.values_N > np.median(age.values_N), "y", "n")
    by_age = adjusted_model(Variable("x", "table", "binary", parted), cluster, [age], ORDER)
    assert by_age.effects == ()
    assert "separation" in by_age.note
    constant = adjusted_model(numeric("x", np.ones(90)), cluster, [age], ORDER)
    assert (constant.effects, constant.note) == ((), "constant among the complete cases")
    twice = adjusted_model(numeric("x", rng.normal(size=90)), cluster, [age, numeric("age2", 2 * age.values_N)], ORDER)
    assert twice.effects == ()
    assert "collinear" in twice.note


def test_null_data_have_effects_about_as_often_as_said():
    below = 0
    for seed in range(100):
        rng, cluster, age, sex = cohort(n=80, seed=seed)
        found = adjusted_model(numeric("x", rng.normal(size=80)), cluster, [age, sex], ORDER)
        below += found.effects[-1].p_value < 0.05
    assert 0 <= below <= 12  # 5 expected; HC3 errs to the safe side
