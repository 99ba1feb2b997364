"""Rows of features to cluster: this process's part of them, read chunk by chunk."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dcam_dist.clustering.model import Floats

CHUNK_BYTES = 16 * 2**20
"""Of one chunk of float32 rows."""


class Rows(Protocol):
    """Rows that can be read again and again, always in the same order."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and channels."""

    def chunks(self) -> Iterator[Floats]:
        """All rows in order, float32, a few at a time; a chunk is good until the next one is asked for."""


@dataclass(frozen=True, eq=False)
class ArrayRows:
    """Rows that are in memory.

    Attributes:
        values_NC: float32.
    """

    values_NC: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """See ``Rows``."""
        rows, channels = self.values_NC.shape
        return rows, channels

    def chunks(self) -> Iterator[Floats]:
        """See ``Rows``; views, nothing is copied."""
        step = rows_of_a_chunk(self.shape[1])
        for start in range(0, len(self.values_NC), step):
            yield self.values_NC[start : start + step]


def rows_of_a_chunk(channels: int) -> int:
    """How many rows make one chunk."""
    return max(1, CHUNK_BYTES // (4 * max(1, channels)))


def as_array(rows: Rows) -> Floats:
    """All rows in memory at once, for a backend that needs them so."""
    if isinstance(rows, ArrayRows):
        return rows.values_NC
    whole = np.empty(rows.shape, dtype=np.float32)
    start = 0
    for chunk in rows.chunks():
        whole[start : start + len(chunk)] = chunk
        start += len(chunk)
    return whole
