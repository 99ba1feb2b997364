import secrets
import shutil

import pytest

from dcam_dist.cohort import open_cohort
from dcam_dist.errors import UsageError
from dcam_dist.ingest.identity import PrivateIdentity, private_path, save_identity
from dcam_dist.ingest.lookup import resolve_case_ids


@pytest.fixture
def cohort(tmp_path, small_cohort):
    """A copy with a private file that knows three of its cases."""
    copy = tmp_path / "cohort.zarr"
    shutil.copytree(small_cohort, copy)
    cases = {
        "case000": {"source": "/scans/a", "case_id": "Müller 1", "patient": "patient:P1"},
        "case001": {"source": "/scans/b", "case_id": "", "patient": "patient:P2"},
        "case002": {"source": "/scans/c", "case_id": "", "patient": "patient:P2"},
        "set-aside": {"source": "/scans/d", "case_id": "gone", "patient": "patient:P3"},
    }
    save_identity(private_path(copy), PrivateIdentity(secrets.token_bytes(32), cases))
    return open_cohort(copy)


def test_either_id_names_a_case_once_and_in_order(cohort):
    assert resolve_case_ids(cohort, ["case003", "Müller 1", "P1", "case000"]) == ("case003", "case000")


def test_a_patient_with_several_scans_is_ambiguous(cohort):
    with pytest.raises(UsageError, match="number 2 names 2 cases: case001, case002"):
        resolve_case_ids(cohort, ["case000", "P2"])


@pytest.mark.parametrize("name", ["gone", "nobody", ""])
def test_an_unknown_name_is_told_by_its_place_and_not_repeated(cohort, name):
    with pytest.raises(UsageError, match="number 1") as caught:
        resolve_case_ids(cohort, [name])
    assert not name or name not in str(caught.value)


def test_without_the_private_file_only_the_cohorts_ids_count(cohort):
    private_path(cohort.path).unlink()
    assert resolve_case_ids(cohort, ["case000"]) == ("case000",)
    with pytest.raises(UsageError, match=r"other ids need .*private\.json, which is not there"):
        resolve_case_ids(cohort, ["Müller 1"])
