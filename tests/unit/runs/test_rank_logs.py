"""A log of each rank: what this package said there, and nothing of anybody else's."""

import logging
import re
import stat

import pytest

from dcam_dist.errors import DataError, EnvironmentFault
from dcam_dist.runs.rank_logs import rank_log
from dcam_dist.training.progress import PhaseLog
from dcam_dist.types import Phase, Position


def lines(path):
    return [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "", line) for line in path.read_text().splitlines()]


def test_each_start_appends_its_messages_phases_and_end(tmp_path):
    clock = iter([10.0, 15.0, 15.0, 18.5]).__next__
    for _ in range(2):
        with rank_log(tmp_path, 3, 4) as path:
            logging.getLogger("dcam_dist.training.set_aside").warning("case a1 is set aside")
            logging.getLogger("dcam_dist.training").info("staged 3 cases")
            logging.getLogger("dcam_dist.training").debug("too much")
    with rank_log(tmp_path, 3, 4):
        phases = PhaseLog(clock=clock)
        phases.phase(Position(0, Phase.EXTRACT), 9)
        phases.advance(4)
        phases.advance(5)
        phases.phase(Position(0, Phase.TRAIN, 2), 12, 8)
        phases.advance(4)
        phases.close()
        phases.close()
    assert path == tmp_path / "logs" / "rank-0003.log"
    one = ["INFO ---- rank 3 of 4 starts ----", "WARNING case a1 is set aside", "INFO staged 3 cases", "INFO ends"]
    assert lines(path) == [
        *one,
        *one,
        "INFO ---- rank 3 of 4 starts ----",
        "INFO epoch 1, extract: begins, 9 volumes",
        "INFO epoch 1, extract: left after 5.0 s",
        "INFO epoch 1, train, step 3: begins, 4 volumes",
        "INFO epoch 1, train, step 3: left after 3.5 s",
        "INFO ends",
    ]


def test_other_packages_are_not_heard(tmp_path):
    with rank_log(tmp_path, 0, 1) as path:
        logging.getLogger("pydicom").error("/scans/SECRET^NAME/1.dcm")
        logging.getLogger().error("SECRET^NAME")
    assert "SECRET" not in path.read_text()


def test_an_error_of_ours_is_told_whole_and_another_by_its_type_alone(tmp_path):
    with pytest.raises(DataError), rank_log(tmp_path, 0, 1) as path:
        raise DataError("cohort.zarr: too many cases are damaged")
    with pytest.raises(OSError, match="SECRET"), rank_log(tmp_path, 0, 1):
        raise OSError("/scans/SECRET^NAME/1.dcm")
    assert [line for line in lines(path) if "ends" in line] == [
        "ERROR ends: cohort.zarr: too many cases are damaged",
        "ERROR ends: OSError",
    ]


def test_phases_are_for_the_file_alone_and_nothing_is_left_behind(tmp_path):
    heard, package = [], logging.getLogger("dcam_dist")
    console = logging.Handler()
    console.emit = lambda record: heard.append(record.getMessage())
    logging.getLogger().addHandler(console)
    before = package.level, list(package.handlers)
    try:
        with rank_log(tmp_path, 0, 1) as path:
            PhaseLog().phase(Position(0, Phase.TRAIN), 3)
            package.info("heard")
        PhaseLog().phase(Position(0, Phase.TRAIN), 3)  # no file is open
    finally:
        logging.getLogger().removeHandler(console)
    assert heard == ["heard"]
    assert (package.level, package.handlers) == before
    assert len(lines(path)) == 4


def test_the_folder_is_private_and_refusal_is_one_line(tmp_path):
    with rank_log(tmp_path, 0, 1) as path:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(EnvironmentFault, match=r"training\.rank_logs=false"), rank_log(path, 0, 1):
        pass


def test_a_full_disk_costs_lines_and_prints_no_traceback(tmp_path, capfd):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "rank-0000.log").symlink_to("/dev/full")
    with rank_log(tmp_path, 0, 1):
        logging.getLogger("dcam_dist").info("lost")
    assert capfd.readouterr() == ("", "")
