import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from support.cohorts import make_cohort

from dcam_dist.cohort import open_cohort, stage
from dcam_dist.cohort.stage import stage_cases, staged_cohort
from dcam_dist.errors import EnvironmentFault, UsageError, VolumeDamaged

CASES = ("case000", "case001")


@pytest.fixture
def cohort(tmp_path):
    return open_cohort(make_cohort(tmp_path / "c.zarr", 3))


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_copy_reads_as_the_cohort_does_and_holds_the_training_grid_alone(tmp_path, cohort):
    copy = staged_cohort(cohort, tmp_path / "fast")
    staged = list(stage_cases(cohort, CASES, copy.path))
    assert [case.case_id for case in staged] == list(CASES)
    assert all(case.copied_bytes > 0 and case.fault is None for case in staged)
    for case_id in CASES:
        for one, other in zip(copy.read(case_id), cohort.read(case_id), strict=True):
            np.testing.assert_array_equal(one, other)
        volumes = {f"{array}/{name}" for array in ("1", "labels/lungs/1") for name in ("zarr.json", "c/0/0/0")}
        assert files(copy.path / "cases" / case_id) == volumes | {"manifest.json", "commit"}
    with pytest.raises(VolumeDamaged, match="case002"):
        copy.read("case002")


def test_the_copy_is_its_owners_alone(tmp_path, cohort):
    copy = staged_cohort(cohort, tmp_path)
    list(stage_cases(cohort, CASES, copy.path))
    assert stat.S_IMODE(copy.path.stat().st_mode) == 0o700
    copy.path.chmod(0o755)
    with pytest.raises(EnvironmentFault, match="not a private folder"):
        list(stage_cases(cohort, CASES, copy.path))
    shutil.rmtree(copy.path)
    copy.path.symlink_to(tmp_path)
    with pytest.raises(EnvironmentFault, match="not a private folder"):
        list(stage_cases(cohort, CASES, copy.path))


def test_a_second_start_copies_only_what_is_missing_or_damaged(tmp_path, cohort):
    copy = staged_cohort(cohort, tmp_path)
    list(stage_cases(cohort, CASES, copy.path))
    shards = [copy.path / "cases" / case_id / "1/c/0/0/0" for case_id in CASES]
    assert [case.copied_bytes for case in stage_cases(cohort, CASES, copy.path)] == [0, 0]
    content = bytearray(shards[1].read_bytes())
    content[7] ^= 1
    shards[1].write_bytes(content)
    assert [case.copied_bytes for case in stage_cases(cohort, CASES, copy.path)] == [0, len(content)]
    np.testing.assert_array_equal(copy.read("case001")[0], cohort.read("case001")[0])


def test_interrupted_anywhere_the_next_start_finishes_and_no_half_file_has_a_name(tmp_path, cohort, monkeypatch):
    copy, blocks = staged_cohort(cohort, tmp_path), stage._blocks

    class Killed(BaseException):
        pass

    def dies_in(number):
        opened = []

        def half(path):
            opened.append(path)
            content = b"".join(blocks(path))
            yield content[: len(content) // 2]
            if len(opened) == number:
                raise Killed
            yield content[len(content) // 2 :]

        return half

    for number in range(1, 13):
        monkeypatch.setattr(stage, "_blocks", dies_in(number))
        with pytest.raises(Killed):
            list(stage_cases(cohort, CASES, staged_cohort(cohort, tmp_path / str(number)).path))
        folder = staged_cohort(cohort, tmp_path / str(number)).path
        for name in files(folder):
            assert (folder / name).read_bytes() == (cohort.path / name).read_bytes()
        monkeypatch.setattr(stage, "_blocks", blocks)
        list(stage_cases(cohort, CASES, folder))
        assert len(files(folder)) == 12
    assert not copy.path.exists()


def test_without_room_for_all_nothing_is_copied(tmp_path, cohort, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    copy = staged_cohort(cohort, tmp_path)
    with pytest.raises(EnvironmentFault, match=r"needs \d.* GiB and 0.00 GiB are free") as caught:
        list(stage_cases(cohort, CASES, copy.path))
    assert caught.value.exit_code == 4
    assert not files(copy.path)


@pytest.mark.parametrize("victim", ["1/c/0/0/0", "labels/lungs/1/zarr.json", "manifest.json", "commit"])
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "changed"])
def test_a_case_damaged_in_the_cohort_is_told_and_its_copy_is_no_case(tmp_path, cohort, victim, lost):
    file = cohort.path / "cases/case001" / victim
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.unlink() if lost else file.write_bytes(content)
    copy = staged_cohort(cohort, tmp_path)
    first, second = stage_cases(cohort, CASES, copy.path)
    assert first.fault is None and second.fault is not None
    assert copy.read("case000")[1].any()
    with pytest.raises(VolumeDamaged, match="case001"):
        copy.read("case001")


def test_a_changed_cohort_gets_another_folder_and_the_same_one_the_same(tmp_path, cohort):
    moved = shutil.copytree(cohort.path, tmp_path / "moved.zarr")
    other = make_cohort(tmp_path / "other.zarr", 3, seed=1)
    names = [staged_cohort(open_cohort(path), tmp_path).path for path in (cohort.path, moved, other)]
    assert names[0] == names[1] != names[2]


def test_variables_and_home_are_replaced_and_an_unset_variable_is_refused(tmp_path, cohort, monkeypatch):
    monkeypatch.setenv("FAST_DISK", str(tmp_path / "fast"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert staged_cohort(cohort, Path("$FAST_DISK/x")).path.parent == tmp_path / "fast" / "x"
    assert staged_cohort(cohort, Path("~/x")).path.parent == tmp_path / "x"
    monkeypatch.delenv("FAST_DISK")
    with pytest.raises(UsageError, match=r"\$FAST_DISK"):
        staged_cohort(cohort, Path("$FAST_DISK/x"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path, cohort):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(EnvironmentFault, match="cannot be made"):
        list(stage_cases(cohort, CASES, staged_cohort(cohort, tmp_path / "closed").path))
