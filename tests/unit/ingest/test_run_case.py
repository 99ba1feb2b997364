"""What one task may end in: a record, a quarantine entry, or a stop that no next case would survive."""

import errno
import logging
import os
import warnings

import pytest
import SimpleITK as sitk

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, EnvironmentFault, Reason
from dcam_dist.ingest.fanout import run_cases
from dcam_dist.ingest.one_case import hushed, run_case
from dcam_dist.types import QuarantineEntry


def _raise(error):
    raise error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CaseRejected(Reason.TILTED, "leans"), Reason.TILTED),
        (MemoryError(), Reason.TOO_LARGE),
        (IndexError("/secret/path"), Reason.UNREADABLE),
    ],
)
def test_faults_of_a_case_are_results(error, reason):
    entry = run_case(_raise, error, "c1")
    assert isinstance(entry, QuarantineEntry)
    assert (entry.case_id, entry.reason) == ("c1", str(reason))
    assert "secret" not in entry.detail


def test_a_full_disk_stops_the_run():
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/path")
    with pytest.raises(EnvironmentFault, match="No space left") as caught:
        run_case(_raise, error, "c1")
    assert "secret" not in str(caught.value)


def test_few_cases_run_here_in_order_and_with_a_private_umask():
    before = os.umask(0o022)
    try:
        outcomes = list(run_cases(lambda job: (job, os.umask(0o077)), ["a", "b"], str, IngestConfig(workers=4)))
        assert outcomes == [("a", 0o077), ("b", 0o077)]
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_libraries_are_silent_within_and_speak_as_before_afterwards():
    def loud():
        levels = [logging.getLogger(name).level for name in ("pydicom", "highdicom")]
        return sitk.ProcessObject.GetGlobalWarningDisplay(), levels, list(warnings.filters)

    sitk.ProcessObject.SetGlobalWarningDisplay(True)
    before = loud()
    with hushed():
        assert not sitk.ProcessObject.GetGlobalWarningDisplay()
        assert not logging.getLogger("pydicom").isEnabledFor(logging.CRITICAL)
    assert loud() == before
