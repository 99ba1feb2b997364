"""Silhouette, Davies-Bouldin and Caliński-Harabasz are the same however the points are spread over the ranks."""

import json

import numpy as np
import pytest
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score
from support.processes import python, torchrun
from support.validity_jobs import CASES, points

pytestmark = pytest.mark.distributed
JOBS = "tests/support/validity_jobs.py"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What every rank found, by the number of ranks."""
    made = {}
    for ranks in (1, 2, 3):
        out = tmp_path_factory.mktemp(f"ranks-{ranks}")
        ended = torchrun(ranks, [JOBS, str(out)]) if ranks > 1 else python([JOBS, str(out)])
        assert ended.returncode == 0, ended.stderr
        made[ranks] = [json.loads((out / f"{rank}.json").read_text()) for rank in range(ranks)]
    return made


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ranks", [2, 3])
def test_every_rank_finds_what_one_process_finds(found, ranks, name):
    (one,) = found[1]
    for several in found[ranks]:
        np.testing.assert_array_equal(several[name], found[ranks][0][name])
        np.testing.assert_array_equal(several[name][0], one[name][0])  # the silhouette, to the last bit
        np.testing.assert_allclose(several[name], one[name], rtol=1e-12)


def test_all_pairs_agree_with_scikit_learn(found):
    point_NP, label_N = points(CASES["all pairs"][0])
    given, label = point_NP[label_N >= 0].astype(float), label_N[label_N >= 0]
    expected = [score(given, label) for score in (silhouette_score, davies_bouldin_score, calinski_harabasz_score)]
    for ranks in (1, 2, 3):
        np.testing.assert_allclose(found[ranks][0]["all pairs"], expected, rtol=1e-6)


def test_a_sample_is_near_all_pairs_and_without_points_nothing_is_defined(found):
    point_NP, label_N = points(CASES["a sample"][0])
    whole = silhouette_score(point_NP[label_N >= 0], label_N[label_N >= 0])
    assert found[3][0]["a sample"][0] == pytest.approx(whole, abs=0.03)
    assert np.isnan(found[3][2]["none"]).all()
