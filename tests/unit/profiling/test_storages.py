"""Storages are counted from making to freeing, once each, with memory or without."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from dcam_dist.profiling.storages import StorageMeter


def test_a_storage_counts_once_until_it_is_freed():
    with StorageMeter() as meter:
        one = torch.empty(1000)
        view = one[10:].view(2, -1)
        view.add_(1)
        assert meter.held_bytes == 4000
        del one
        assert meter.held_bytes == 4000  # the view holds it
        del view
        assert (meter.held_bytes, meter.peak_bytes) == (0, 4000)


def test_the_peak_is_of_what_is_held_at_once():
    with StorageMeter() as meter:
        for _ in range(3):
            torch.empty(1000)
        kept = torch.empty(500)
        assert meter.peak_bytes == 4000
        meter.forget_peak()
        assert meter.peak_bytes == kept.nbytes


@pytest.mark.parametrize("size", [8, 2**16])
def test_tensors_without_memory_are_counted_alike(size):
    def held():
        with StorageMeter() as meter:
            x = torch.ones(size, 16, requires_grad=True)
            y = (x @ torch.ones(16, 16)).relu()
            kept = meter.held_bytes
            y.sum().backward()
            return kept, meter.peak_bytes

    if size < 100:
        with FakeTensorMode():
            fake = held()
        assert fake == held()
    else:
        with FakeTensorMode():
            assert held()[1] > size * 16 * 4
