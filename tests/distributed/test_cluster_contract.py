"""Every backend keeps the contract, alone and on several ranks; torch finds the same on any number of them."""

import json

import numpy as np
import pytest
from support.cluster_contract import CHECKS
from support.contract_jobs import DATA
from support.processes import python, torchrun

pytestmark = pytest.mark.distributed
JOBS = "tests/support/contract_jobs.py"
WAYS = [("sklearn", 1), ("sklearn", 2), ("torch", 1), ("torch", 2), ("torch", 3)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of each backend on each number of ranks: what failed, and what it found."""
    made = {}
    for backend, ranks in WAYS:
        out = tmp_path_factory.mktemp(f"{backend}-{ranks}")
        arguments = [JOBS, str(out), backend]
        ended = torchrun(ranks, arguments) if ranks > 1 else python(arguments)
        assert ended.returncode == 0, ended.stderr
        with np.load(out / "fits.npz") as fits:
            made[backend, ranks] = json.loads((out / "contract.json").read_text()), dict(fits)
    return made


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
def test_the_contract_is_kept(results, way, check):
    failed, _ = results[way]
    assert failed[check] == ""


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize(("backend", "ranks"), [("torch", 2), ("torch", 3), ("sklearn", 2)])
def test_the_clusters_do_not_depend_on_the_ranks(results, name, backend, ranks):
    (_, one), (_, several) = results[backend, 1], results[backend, ranks]
    np.testing.assert_array_equal(several[f"{name}/labels"], one[f"{name}/labels"])
    np.testing.assert_allclose(several[f"{name}/centroids"], one[f"{name}/centroids"], rtol=0, atol=1e-6)
