"""The parts of dcam_dist.runs are loaded when they are used; the lists of them agree."""

import pytest

from dcam_dist import runs


def test_every_name_has_a_home_and_only_one():
    homes = [name for names in runs._HOMES.values() for name in names]
    assert sorted(homes) == sorted(runs.__all__)
    for name in runs.__all__:
        assert getattr(runs, name).__module__.startswith("dcam_dist.runs.")


def test_what_there_is_not_is_told_as_ever():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        runs.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from dcam_dist.runs import nothing  # noqa: F401
