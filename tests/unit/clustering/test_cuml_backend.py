"""The adapter's own logic, on the CPU through a stand-in for cuML and CuPy: cuML's numbers are for tests/gpu."""

import json
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import cuml_stand_in
from support.cluster_contract import CHECKS, groups, noise, settings
from support.processes import python, torchrun

from dcam_dist.clustering import ALONE, ArrayRows, cuml_check
from dcam_dist.clustering.cuml_backend import CumlBackend, peak_bytes
from dcam_dist.clustering.sklearn_backend import SklearnBackend
from dcam_dist.clustering.torch_backend import TorchBackend
from dcam_dist.errors import EnvironmentFault
from dcam_dist.metrics import adjusted_rand


def stand_in(**changes):
    return SimpleNamespace(**{**vars(cuml_stand_in), **changes})


def fit(features, chosen=None, seed=0, libraries=cuml_stand_in):
    return CumlBackend("cpu", libraries).fit(ArrayRows(features), chosen or settings(), seed, ALONE)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_contract_is_kept(check):
    check(fit)


def test_it_is_the_stand_in_that_fits():
    assert fit(groups()).backend == "cuml"


def test_the_rows_are_left_as_they_were():
    features = groups()
    before = features.copy()
    fit(features)
    np.testing.assert_array_equal(features, before)


def test_one_channel_is_its_own_axis():
    features = groups(channels=1)
    found, expected = fit(features), SklearnBackend().fit(ArrayRows(features), settings(), 0, ALONE)
    np.testing.assert_array_equal(found.model.components_PC, [[1]])
    np.testing.assert_allclose(found.model.variance_P, expected.model.variance_P, rtol=1e-5)
    assert adjusted_rand(found.model.assign(features), expected.model.assign(features)) >= 0.99


def test_an_empty_cluster_is_refilled():
    class LosingOne(cuml_stand_in.KMeans):
        """cuML leaves a centroid that lost its points where it was."""

        def fit(self, X, y=None, sample_weight=None):
            super().fit(X).cluster_centers_[3] = 900
            return self

    features = groups()
    found = fit(features, libraries=stand_in(KMeans=LosingOne))
    assert found.repaired == 1
    assert (found.size_K > 0).all() and found.size_K.sum() == len(features)
    np.testing.assert_array_equal(np.bincount(found.model.assign(features), minlength=5), found.size_K)


def test_what_differs_in_the_last_digits_of_two_runs_is_gone():
    rng = np.random.default_rng(0)

    class Unordered(cuml_stand_in.KMeans):
        """cuML adds up in no fixed order."""

        def fit(self, X, y=None, sample_weight=None):
            centres = super().fit(X).cluster_centers_
            centres *= rng.uniform(1 - 1e-6, 1 + 1e-6, centres.shape).astype(np.float32)
            return self

    one, two = (fit(noise(), libraries=stand_in(KMeans=Unordered)) for _ in range(2))
    np.testing.assert_array_equal(one.model.centroid_KP, two.model.centroid_KP)
    assert one.inertia == two.inertia


def test_rows_that_do_not_fit_go_to_torch_in_one_line(caplog):
    features = groups()
    found = fit(features, libraries=stand_in(free_bytes=lambda device: 5 * 10**8))
    assert found.backend == "torch"
    torch_alone = TorchBackend("cpu").fit(ArrayRows(features), settings(), 0, ALONE)
    np.testing.assert_array_equal(found.model.centroid_KP, torch_alone.model.centroid_KP)
    [line] = caplog.messages
    assert line == (
        "torch clusters: cuML would need about 0.54 GB on cpu for 601 rows of 20 channels, "
        "more than 90 % of the 0.50 GB that are free"
    )


def test_a_tenth_of_the_free_memory_is_left():
    need = peak_bytes((601, 20), settings())
    for free, backend in ((need / 0.89, "cuml"), (need / 0.91, "torch")):
        assert fit(groups(), libraries=stand_in(free_bytes=lambda device, free=free: free)).backend == backend


def test_the_estimate_grows_with_rows_channels_and_axes():
    rows, fixed = 10**8, peak_bytes((0, 64), settings())
    assert peak_bytes((rows, 64), settings(pca_components=8)) - fixed == rows * 4 * (64 + 8)
    assert peak_bytes((rows, 64), settings(pca_components=0.9)) - fixed == rows * 4 * (64 + 64)
    assert peak_bytes((rows, 8), settings(pca_components=8)) - fixed == rows * (4 * 8 + 48)


def test_a_failure_of_cuml_is_one_line():
    def refuse(**options):
        raise TypeError("KMeans.fit() got\n  an unexpected keyword argument")

    with pytest.raises(EnvironmentFault) as fault:
        fit(groups(), libraries=stand_in(KMeans=refuse, VERSIONS="cuML 26.2.0, CuPy 14.2.0"))
    assert str(fault.value) == (
        "clustering with cuML 26.2.0, CuPy 14.2.0 failed: TypeError: KMeans.fit() got an unexpected keyword argument; "
        "set clustering.backend=torch"
    )


def test_the_trial_asks_for_all_that_the_backend_asks_for():
    asked = {}

    def noting(name):
        def make(**options):
            asked[name] = set(options)
            return getattr(cuml_stand_in, name)(**options)

        return make

    cuml_check.try_out(stand_in(PCA=noting("PCA"), KMeans=noting("KMeans")), "cpu")
    tried, asked = asked, {}
    fit(groups(), libraries=stand_in(PCA=noting("PCA"), KMeans=noting("KMeans")))
    assert tried == asked != {}


BROKEN = {
    "raise ImportError('libcudart.so.13: cannot open\\n  shared object file')": (
        "ImportError: libcudart.so.13: cannot open shared object file;"
    ),
    "raise RuntimeError": "RuntimeError;",
    "import os; os.nothing": "AttributeError: ",
    "KMeans = 1": "AttributeError: ",
    "PCA, KMeans, __version__ = 1, 2, '26.2'": "",
}
CHOOSE = """
import importlib, json, logging, sys
from pathlib import Path
from dcam_dist.clustering import choose_backend
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import EnvironmentFault

def choose(backend, device):
    for name in ("cuml", "cupy", "dcam_dist.clustering.cuml_libraries"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    try:
        chosen = choose_backend(ClusteringConfig(backend=backend), 10**6, device)
        return f"{chosen.name} {chosen.libraries}"
    except EnvironmentFault as fault:
        return str(fault)

logged, said = logging.StreamHandler(sys.stdout), {}
logged.emit = lambda record: lines.append(record.getMessage())
logging.getLogger().addHandler(logged)
here = Path(sys.argv[1])
for content in ["", *json.loads(sys.argv[2])]:
    if content:
        (here / "cuml.py").write_text(content)
        (here / "cupy.py").write_text("__version__ = '14.2'")
        sys.path.insert(0, str(here))
    lines = []
    automatic = choose("auto", "cuda:0") if content else ""
    said[content] = [choose("cuml", "cuda:0"), automatic, lines, choose("cuml", "cpu")]
    sys.path[:] = [one for one in sys.path if one != str(here)]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What ``choose_backend`` says, in a process of its own, of each way in which cuML is broken."""
    ended = python(["-B", "-c", CHOOSE, str(tmp_path_factory.mktemp("broken")), json.dumps(list(BROKEN))])
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("content", BROKEN, ids=["import", "empty", "attribute", "half", "objects"])
def test_a_broken_cuml_is_one_line_and_auto_goes_on(said, content):
    line, automatic, logged, _ = said[content]
    assert line.startswith(f"cuML cannot be used: it is installed, but fails: {BROKEN[content]}") and "\n" not in line
    assert "extra gpu-cu13 (NVIDIA driver 580 or newer) or gpu-cu12 (535 or newer)" in line
    assert f"found are torch {torch.__version__}" in line and line.endswith("or set clustering.backend=torch")
    assert (automatic, logged) == ("cuml None", [f"torch clusters: {line}"])


def test_no_gpu_is_one_line(said):
    for *_, line in said.values():
        assert line.startswith("cuML cannot be used: this process has no CUDA device; it needs the extra gpu-cu13")


@pytest.mark.skipif(find_spec("cuml") is not None, reason="cuML is installed")
def test_no_cuml_is_one_line(said):
    assert said[""][0].startswith("cuML cannot be used: cuml and cupy not installed; it needs the extra gpu-cu13")


def test_a_backend_whose_libraries_are_broken_clusters_in_torch():
    assert fit(groups(), libraries=None).backend == "torch"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed Aug 27 17:17:49 UTC 2025\nGCC", "580.82.07"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build", "575.57.08"),
        ("NVRM version: nothing known", "of unknown version"),
    ],
)
def test_the_driver_that_was_found_is_named(tmp_path, monkeypatch, text, found):
    (tmp_path / "version").write_text(text)
    monkeypatch.setattr(cuml_check, "DRIVER", tmp_path / "version")
    with pytest.raises(EnvironmentFault, match=f"NVIDIA driver {found}"):
        cuml_check.load_libraries("cpu")
    monkeypatch.setattr(cuml_check, "DRIVER", tmp_path / "none")
    with pytest.raises(EnvironmentFault, match="no NVIDIA driver"):
        cuml_check.load_libraries("cpu")


@pytest.mark.distributed
def test_rank_0_decides_and_fits_for_all(tmp_path):
    ended = torchrun(2, ["tests/support/cuml_jobs.py", str(tmp_path)])
    assert ended.returncode == 0, ended.stderr
    said = json.loads((tmp_path / "said.json").read_text())
    assert said == {"stand-in": ["cuml", 601], "short": ["torch", 601], "broken": ["torch", 601]}
