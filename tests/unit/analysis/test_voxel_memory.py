import pytest
from support.processes import python

from dcam_dist.clustering.torch_backend import PEAK_CHUNKS
from dcam_dist.training.voxel_store import READ_CHUNKS


@pytest.mark.slow
@pytest.mark.distributed
def test_clustering_from_the_disk_takes_a_few_chunks_whatever_the_number_of_rows(tmp_path):
    peaks = {}
    for chunks in (12, 24):
        ended = python(["tests/support/stored_fit.py", str(tmp_path / str(chunks)), str(chunks)])
        assert ended.returncode == 0, ended.stderr
        peaks[chunks] = float(ended.stdout)
    assert max(peaks.values()) <= PEAK_CHUNKS + READ_CHUNKS, peaks
    assert peaks[24] <= peaks[12] + 1, peaks
