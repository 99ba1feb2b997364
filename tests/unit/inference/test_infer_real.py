"""Real scans through a small model, where they are present: all are mapped, and two kernels are told apart."""

import tarfile

import pytest

from dcam_dist.inference import infer

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


@pytest.fixture(scope="module")
def summary(real_data, bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    for archive in ("LIDC-IDRI-0001_dicom.tar.xz", "Lung_Dx-A0001_two_kernels_dicom.tar.xz"):
        with tarfile.open(real_data / archive) as packed:
            packed.extractall(folder / "scans", filter="data")
    return infer([folder / "scans", real_data / "cip" / "ct-64.nrrd"], folder / "out", bundle)


def test_all_are_answered(summary):
    assert len(summary.answers) == 4 and summary.quarantined == ()
    laa = sorted(answer.densitometry["laa950"] for answer in summary.answers)
    assert laa[0] < 1 and laa[2] > 10
    for answer in summary.answers:
        assert (summary.out / answer.case_id / "overlay.png").stat().st_size > 50_000


def test_the_two_kernels_of_one_acquisition_are_told(summary):
    (line,) = summary.disagreements
    assert "kernel B" in line and "kernel L" in line
    (pair,) = summary.pairs
    assert {pair.first.kernel, pair.second.kernel} == {"B", "L"} and pair.laa_points > 10
    flagged = [answer for answer in summary.answers if "reconstructions_disagree" in answer.tree["flags"]]
    assert {answer.kernel for answer in flagged} == {"B", "L"}
