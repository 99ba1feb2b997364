"""Odd files: every set is told all that is wrong with it, and the published table says the same."""

import tarfile

import pytest
from support.odd_table import ODD
from support.reason_docs import MEANING, PAGE, render

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom import read_series
from dcam_dist.ingest.scan_source import walk_files
from dcam_dist.ingest.sources import find_scans

ARCHIVE = "dicom2nifti"


@pytest.fixture(scope="session")
def odd_files(real_data, tmp_path_factory):
    """The folder of each part of the samples, the archive unpacked."""
    unpacked = tmp_path_factory.mktemp("odd")
    with tarfile.open(real_data / "odd" / f"{ARCHIVE}.tar.xz") as archive:
        archive.extractall(unpacked, filter="data")
    return lambda path: (unpacked if path.startswith(ARCHIVE) else real_data / "odd") / path


def codes_of(scan):
    if scan.fault is not None:
        return frozenset({scan.fault[0], *scan.also})
    with pytest.raises(CaseRejected) as caught:
        read_series(scan.candidates, IngestConfig(), assume_hu=False)
    return frozenset({caught.value.reason, *caught.value.also})


@pytest.mark.realdata
@pytest.mark.parametrize("path", ODD)
def test_all_codes_of_an_odd_set_are_reported(odd_files, path):
    found = [codes_of(scan) for scan in find_scans([odd_files(path)], ("absent", "trace"))]
    assert sorted(map(sorted, found)) == sorted(map(sorted, ODD[path].entries))


@pytest.mark.realdata
def test_no_odd_file_is_left_out_of_the_table(odd_files):
    licences = {"LICENSE", "LICENSE.txt"}
    known = [odd_files(path) for path in ODD]
    for part in ("pydicom", "pydicom-data", "wg04_compressed_ct", ARCHIVE):
        for file in walk_files(odd_files(part)):
            assert file.name in licences or any(path == file or path in file.parents for path in known), file.name


def test_every_code_has_a_meaning():
    assert set(MEANING) == set(Reason)


def test_the_page_is_what_the_table_says():
    assert PAGE.read_text(encoding="utf-8") == render(), "run python tests/support/reason_docs.py"
