from pathlib import Path

import pytest
from support.cohorts import make_cohort

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def small_cohort(tmp_path_factory):
    """13 cases, 9 of them for training: no multiple of 2 ranks or of a batch of 4."""
    return make_cohort(tmp_path_factory.mktemp("cohort") / "cohort.zarr", 13)


@pytest.fixture(scope="session")
def unlabelled_cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("unlabelled") / "cohort.zarr", 9, labelled=False)


@pytest.fixture(scope="session")
def real_data():
    """The real scans beside the project, where they are present."""
    if not REAL_DATA.is_dir():
        pytest.skip("no ../shared/data beside the project")
    return REAL_DATA
