"""The backend's calls, and the stand-in of the other tests, against the real cuML. Needs it, but no GPU.

pip install -c constraints/cuda13.txt -e '.[gpu-cu13,dev]' && pytest -m cuml tests/unit/clustering
"""

import inspect

import pytest
from support import cuml_stand_in

from benchmarks.cuml_signatures import checks

pytestmark = pytest.mark.cuml


def test_the_real_libraries_take_what_the_backend_passes():
    found = list(checks())
    assert len(found) > 10
    assert [one for one in found if one.problem] == []


def test_a_wrong_call_would_be_seen(monkeypatch):
    def wrong(libraries, components):
        return libraries.PCA(n_component=components)

    monkeypatch.setattr("benchmarks.cuml_signatures.new_pca", wrong)
    assert "n_component" in next(checks()).problem


@pytest.mark.parametrize("name", ["PCA", "KMeans"])
def test_the_stand_in_has_the_real_signatures(name):
    from dcam_dist.clustering import cuml_libraries

    if "cuML 26.10" not in cuml_libraries.VERSIONS:
        pytest.skip(f"the stand-in is of cuML 26.10, not of {cuml_libraries.VERSIONS}")
    stand_in, real = getattr(cuml_stand_in, name), getattr(cuml_libraries, name)
    assert signature(stand_in) == signature(real)
    assert list(signature(stand_in.fit)) == list(signature(real.fit))


def signature(function):
    return {name: (one.kind, one.default) for name, one in inspect.signature(function).parameters.items()}
