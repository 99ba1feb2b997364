import os
import signal
from pathlib import Path

# before torch is imported: the volumes are tiny, and threads that wait for each other are slow on a busy machine
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
import torch
from support.cohorts import make_cohort, settings

# what starts this in the background may have SIGINT ignored, and programs started by the tests would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# a busy machine is no failure
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def same_process():
    """What one test leaves changed in the process, another that knows nothing of it would fail by."""
    before = _of_process()
    yield
    assert _of_process() == before


def _of_process():
    umask = os.umask(0)
    os.umask(umask)
    return oct(umask), torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()


@pytest.fixture(scope="session")
def small_cohort(tmp_path_factory):
    """13 cases, 9 of them for training: no multiple of 2 ranks or of a batch of 4."""
    return make_cohort(tmp_path_factory.mktemp("cohort") / "cohort.zarr", 13)


@pytest.fixture(scope="session")
def unlabelled_cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("unlabelled") / "cohort.zarr", 9, labelled=False)


@pytest.fixture(scope="session")
def dcam_run(tmp_path_factory, small_cohort):
    """A finished run of three epochs on the small cohort. Many tests read it: copy it to write into it."""
    from dcam_dist.config import load_config
    from dcam_dist.training import train

    output = tmp_path_factory.mktemp("runs") / "dcam"
    return train(load_config(None, settings(small_cohort, output=output, training__epochs=3))).run


@pytest.fixture(scope="session")
def real_data():
    """The real scans beside the project, where they are present."""
    if not REAL_DATA.is_dir():
        pytest.skip("no ../shared/data beside the project")
    return REAL_DATA
