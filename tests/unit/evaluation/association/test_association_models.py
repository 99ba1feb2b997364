"""Adjusted models: planted effects found, figures equal to those of textbook formulas and of other libraries."""

import numpy as np
import pytest
from scipy import optimize, stats

from dcam_dist.evaluation.association.columns import Variable
from dcam_dist.evaluation.association.models import adjusted_model
from dcam_dist.evaluation.association.permuted import freedman_lane

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
    parted = np.where(age.values_N > np.median(age.values_N), "y", "n")
    by_age = adjusted_model(Variable("x", "table", "binary", parted), cluster, [age], ORDER)
    assert by_age.effects == ()
    assert "separation" in by_age.note
    constant = adjusted_model(numeric("x", np.ones(90)), cluster, [age], ORDER)
    assert (constant.effects, constant.note) == ((), "constant among the complete cases")
    twice = adjusted_model(numeric("x", rng.normal(size=90)), cluster, [age, numeric("age2", 2 * age.values_N)], ORDER)
    assert twice.effects == ()
    assert "collinear" in twice.note


def test_a_cluster_with_one_level_is_left_out_by_name_and_the_others_stay():
    rng, cluster, age, _ = cohort(n=150)
    two_level = Variable("x", "table", "binary", np.where((rng.random(150) < 0.5) & (cluster != 1), "y", "n"))
    found = adjusted_model(two_level, cluster, [age], ORDER)
    rest = cluster != 1
    alone = adjusted_model(
        Variable("x", "table", "binary", two_level.values_N[rest]),
        cluster[rest],
        [numeric("age", age.values_N[rest])],
        (0, 2),
    )
    assert (found.left_out, found.reference, found.note) == ((1,), 0, "")
    assert found.effects == alone.effects
    neither = Variable("x", "table", "binary", np.where(cluster == 1, "y", "n"))
    none = adjusted_model(neither, cluster, [age], ORDER)
    assert (none.effects, none.left_out) == ((), (0, 1, 2))
    assert none.note == "fewer than two clusters with 5 complete cases"


def test_a_covariate_far_from_0_is_no_separation():
    rng, cluster, _, _ = cohort(n=400)
    age = rng.normal(65, 5, 400)
    ill = rng.random(400) < 1 / (1 + np.exp(-(0.25 * (age - 65) + 0.5 * (cluster == 2))))
    variable = Variable("copd", "table", "binary", np.where(ill, "yes", "no"))
    far, near = (adjusted_model(variable, cluster, [numeric("age", age - by)], ORDER) for by in (0, 65))
    assert far.note == ""
    for one, other in zip(far.effects, near.effects, strict=True):
        assert (one.estimate, one.p_value) == pytest.approx((other.estimate, other.p_value))


def test_a_rare_level_has_no_model():
    rng, cluster, age, sex = cohort(n=300)
    for events, note in ((19, "fewer than 5 cases of the rarer level for each of 4 coefficients"), (20, "")):
        ill = np.zeros(300, bool)
        ill[rng.permutation(300)[:events]] = True
        for values in (np.where(ill, "y", "n"), np.where(ill, "n", "y")):
            found = adjusted_model(Variable("x", "table", "binary", values), cluster, [age, sex], ORDER)
            assert found.note == note
            assert bool(found.effects) == (events == 20)


def test_an_outcome_that_covariates_give_exactly_has_a_word_and_no_rounding_noise():
    rng, cluster, *_ = cohort(n=90)
    upper, lower = (numeric(name, rng.normal(20, 5, 90)) for name in ("upper", "lower"))
    found = adjusted_model(numeric("difference", upper.values_N - lower.values_N), cluster, [upper, lower], ORDER)
    assert (found.effects, found.note) == (
        (),
        "clusters and covariates give it exactly, so there is nothing to estimate",
    )


def test_a_small_cluster_and_a_skewed_outcome_are_found_as_often_as_said():
    below, plain = 0, 0
    cluster = np.repeat([0, 1, 2], (5, 60, 60))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        age = numeric("age", rng.normal(60, 8, 125))
        found = adjusted_model(numeric("x", np.exp(1.5 * rng.normal(size=125))), cluster, [age], ORDER)
        below += found.effects[-1].p_value < 0.05
        plain += stats.f.sf(found.effects[-1].estimate, 2, 121) < 0.05
    assert below <= 6  # 2 expected
    assert plain > 6
    assert found.model == "linear, permuted"
    zero, two, _ = found.effects
    assert np.isnan([zero.p_value, zero.low, zero.error]).all()
    assert np.isfinite([zero.estimate, two.p_value, two.low]).all()


def test_permuted_residuals_find_what_is_there_and_agree_with_f_in_many_cases():
    rng, cluster, age, sex = cohort(n=200)
    noise = rng.normal(size=200) + 0.2 * (cluster == 2)
    plain = adjusted_model(numeric("x", noise), cluster, [age, sex], ORDER)
    matrix = np.column_stack([cluster == 0, cluster == 2, age.values_N, sex.values_N == "M"]).astype(float)
    assert freedman_lane(noise, matrix, 2) == pytest.approx(plain.effects[-1].p_value, abs=0.03)
    few = np.where(np.arange(200) < 6, 3, cluster)
    planted = numeric("x", 0.3 * age.values_N + 4.0 * (few == 3) + rng.normal(size=200))
    found = adjusted_model(planted, few, [age, sex], (3, *ORDER))
    assert found.effects[-1].p_value < 1e-3
    assert found.reference == 1  # the first that is large enough
    assert found.effects[1].p_value == found.effects[1].p_value > 0.001


def test_null_data_have_effects_about_as_often_as_said():
    below = 0
    for seed in range(100):
        rng, cluster, age, sex = cohort(n=80, seed=seed)
        found = adjusted_model(numeric("x", rng.normal(size=80)), cluster, [age, sex], ORDER)
        below += found.effects[-1].p_value < 0.05
    assert 0 <= below <= 12  # 5 expected; HC3 errs to the safe side
