"""Seeds of single draws from the one seed that a user gives: no global random state."""

import zlib

import numpy as np


def derived_seed(seed: int, purpose: str, index: int) -> int:
    """A 32-bit seed that differs for every (seed, purpose, index)."""
    words = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), index]).generate_state(1)
    return int(words[0])
