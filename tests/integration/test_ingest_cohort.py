"""Ingest over real worker processes, and over real scans where they are present."""

import os
import signal
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.ct_files import chest_hu, lung_box, series, write_image, write_series

from dcam_dist.cohort import open_cohort
from dcam_dist.config import load_config
from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import Reason
from dcam_dist.ingest import ingest
from dcam_dist.ingest.fanout import run_cases
from dcam_dist.types import QuarantineEntry

REAL = Path(__file__).parents[3] / "shared" / "data"
CASES = 5


def _write(root):
    rows = ["case_id,image,lung_mask,patient_id"]
    for index in range(CASES):
        slices = series(chest_hu(seed=index), patient=f"P{index}")
        if index == 2:
            del slices[5]
        write_series(root / f"ct{index}", slices)
        rows.append(f"c{index},ct{index},mask.nrrd,")
    write_image(root / "mask.nrrd", lung_box())
    (root / "cases.csv").write_text("\n".join(rows) + "\n")


def _tree(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _config(workers):
    return load_config(None, ["grid.shape=[16,16,16]", f"ingest.workers={workers}"])


@pytest.mark.distributed
def test_two_workers_make_what_one_process_makes(tmp_path):
    _write(tmp_path)
    counts = []
    summary = ingest([tmp_path], tmp_path / "a.zarr", config=_config(2), progress=lambda *count: counts.append(count))
    assert (summary.accepted, summary.exit_code) == (CASES - 1, 0)
    (entry,) = summary.quarantined
    assert (entry.case_id, entry.reason) == ("c2", "missing_slices")
    assert counts[-1] == (CASES, CASES, 1) and [done for done, _, _ in counts] == list(range(CASES + 1))
    cohort = open_cohort(tmp_path / "a.zarr")
    assert [case.case_id for case in cohort.cases] == ["c0", "c1", "c3", "c4"]
    assert np.asarray(cohort.hu("c3")).shape == (16, 16, 16)
    summary.private_file.rename(tmp_path / "b.private.json")
    ingest([tmp_path], tmp_path / "b.zarr", config=_config(1))
    assert _tree(tmp_path / "b.zarr") == _tree(tmp_path / "a.zarr")


def _maybe_die(marks, job):
    """A task that kills its process: ``always``, or only where it has not died before."""
    mark = Path(marks, job)
    if job == "always" or (job == "once" and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return QuarantineEntry(job, "done", str(os.getpid()))


@pytest.mark.distributed
def test_a_dying_worker_takes_only_its_own_case(tmp_path):
    jobs = ["a", "always", "b", "once", "c", "d"]
    task = partial(_maybe_die, str(tmp_path))
    outcomes = {entry.case_id: entry for entry in run_cases(task, jobs, str, IngestConfig(workers=2))}
    assert set(outcomes) == set(jobs)
    assert outcomes["always"].reason == Reason.WORKER_DIED
    assert {outcomes[job].reason for job in jobs if job != "always"} == {"done"}
    assert str(os.getpid()) not in {entry.detail for entry in outcomes.values()}


def _listening(job):
    listed = subprocess.run(["ss", "-ltn"], capture_output=True, text=True, check=False).stdout
    return QuarantineEntry(job, "done", listed)


def _open_ports(text):
    return {line.split()[3] for line in text.splitlines()[1:] if not line.split()[3].startswith(("127.", "[::1]"))}


@pytest.mark.distributed
def test_the_environment_and_the_console_are_left_as_they_were(tmp_path, capfd):
    # dask sets malloc variables for its workers; a training started afterwards would inherit them and slow down
    _write(tmp_path)
    before = dict(os.environ)
    ingest([tmp_path / "cases.csv"], tmp_path / "c.zarr", config=_config(2))
    assert dict(os.environ) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.distributed
def test_nothing_listens_beyond_this_machine():
    before = _open_ports(_listening("x").detail)
    (first, *_) = run_cases(_listening, ["a", "b", "c"], str, IngestConfig(workers=2))
    assert first.detail.count("127.0.0.1") >= 3
    assert _open_ports(first.detail) <= before


@pytest.mark.realdata
@pytest.mark.skipif(not (REAL / "cip").is_dir(), reason="the real scans are not here")
def test_one_scan_as_nrrd_and_as_dicom_agrees(tmp_path):
    (tmp_path / "cases.csv").write_text(f"case_id,image\nnrrd,{REAL}/cip/ct-64.nrrd\ndicom,{REAL}/cip/ct-64Dicom\n")
    summary = ingest([tmp_path], tmp_path / "c.zarr", config=_config(1))
    assert summary.accepted == 2
    cohort = open_cohort(tmp_path / "c.zarr")
    dicom, nrrd = cohort.cases
    assert dicom.provenance["hu_sha256"] == nrrd.provenance["hu_sha256"]
    for level in ("0", "1"):
        assert np.array_equal(np.asarray(cohort.hu("nrrd", level)), np.asarray(cohort.hu("dicom", level)))
        assert np.array_equal(np.asarray(cohort.lung_mask("nrrd", level)), np.asarray(cohort.lung_mask("dicom", level)))
    for first, second in ((dicom.scan, nrrd.scan), (dicom.native, nrrd.native), (dicom.grid, nrrd.grid)):
        assert np.allclose(first.matrix, second.matrix, atol=1e-3)
    assert nrrd.densitometry["volume_ml"] == pytest.approx(4600, rel=0.05)
