"""``infer`` on two ranks: the files of one process, and one summary."""

import numpy as np
import pytest
from support.ct_files import chest_hu, lung_box, write_image
from support.processes import dcam_dist, torchrun

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Three scans with their masks and one that is missing: an odd number for two ranks."""
    folder = tmp_path_factory.mktemp("scans")
    write_image(folder / "mask.nrrd", lung_box().astype(np.uint8))
    for number in range(3):
        write_image(folder / f"{number}.nrrd", chest_hu(seed=number))
    rows = [f"scan-{number},{number}.nrrd,mask.nrrd" for number in (2, 0, 1)]
    (folder / "cases.csv").write_text("\n".join(["case_id,image,lung_mask", *rows, "scan-gone,gone.nrrd,"]) + "\n")
    return folder / "cases.csv"


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_two_ranks_leave_the_files_of_one(table, dcam_run, tmp_path):
    alone = dcam_dist("infer", table, "-o", tmp_path / "1", "--model", dcam_run)
    both = torchrun(2, ["-m", "dcam_dist", "infer", str(table), "-o", str(tmp_path / "2"), "--model", str(dcam_run)])
    assert (alone.returncode, both.returncode) == (0, 0), both.stderr
    one, two = files_of(tmp_path / "1"), files_of(tmp_path / "2")
    assert one.keys() == two.keys() and len(one) == 3 + 3 * 6
    assert [name for name in one if one[name] != two[name]] == []
    assert both.stdout.replace(f"{tmp_path}/2", f"{tmp_path}/1") == alone.stdout
    assert "answers: 3, set aside: 1" in alone.stdout and "infer: 4 of 4 scans done, 1 set aside" in both.stderr


def test_a_fault_of_one_rank_is_one_line(table, dcam_run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    failed = torchrun(
        2, ["-m", "dcam_dist", "infer", str(table), "-o", str(tmp_path / "out"), "--model", str(dcam_run)]
    )
    assert failed.returncode != 0
    assert failed.stderr.count("holds no answers of infer; choose another --out") == 1
