"""The checkpoints of a run: written whole or not at all, verified, the newest few kept.

A checkpoint is written beside the others, brought down to the disk, read back, and only then renamed to its name. Older
ones are removed after that, each renamed first, so whatever bears a checkpoint's name was once whole.
"""

import errno
import logging
import resource
import shutil
import uuid
from collections.abc import Collection
from pathlib import Path

from dcam_dist.cohort.durable import sync
from dcam_dist.errors import DataError, EnvironmentFault
from dcam_dist.runs.checkpoint import Checkpoint
from dcam_dist.runs.checkpoint_files import content_bytes, from_files, to_files
from dcam_dist.runs.places import FOLDER, Place, free_name, place_of, places
from dcam_dist.runs.provenance import provenance
from dcam_dist.runs.sealed import read_sealed, write_sealed
from dcam_dist.types import Phase, Position

_LOG = logging.getLogger(__name__)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_checkpoint(run: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint; it exists whole or not at all. Older ones are removed after it was read back.

    Args:
        run: The run's directory.
        checkpoint: What is saved.
        keep: How many of the newest are kept; among them, or besides, the newest that does not close a run and those
            that ``checkpoint`` calls proven and sound.

    Returns:
        Its folder.

    Raises:
        EnvironmentFault: When the disk is full or refuses, or gives back other bytes; earlier checkpoints are intact.
    """
    folder = run / FOLDER
    side = folder / f".new-{uuid.uuid4().hex}"
    try:
        _make_folder(folder)
        side.mkdir()
        write_sealed(side, to_files(checkpoint, provenance(run)))
        read_checkpoint(side)
        final = folder / free_name(run, checkpoint.position)
        side.rename(final)
        sync(folder)
    except OSError as error:
        shutil.rmtree(side, ignore_errors=True)  # before free space is told
        raise EnvironmentFault(_why_not(folder, error, content_bytes(checkpoint))) from None
    except DataError as error:
        raise EnvironmentFault(
            f"{folder}: the disk gives back other bytes than were written ({error}); earlier checkpoints are intact"
        ) from None
    finally:
        shutil.rmtree(side, ignore_errors=True)
    _remove_old(run, checkpoint.position, keep, (checkpoint.proven, checkpoint.sound))
    return final


def latest_checkpoint(run: Path, *, before_done: bool = False) -> Checkpoint | None:
    """The newest checkpoint that verifies; ``None`` when there is none at all. Says what it had to pass over.

    Args:
        run: The run's directory.
        before_done: Leave out those that close a run (``Phase.DONE``): where a finished run may have more epochs, its
            training goes on from the one before.

    Raises:
        DataError: When there are checkpoints and none of them verifies.
        EnvironmentFault: When a newer version of the package wrote it.
    """
    passed = []
    for place in places(run):
        if before_done and place.position.phase is Phase.DONE:
            continue
        try:
            found = read_checkpoint(place.folder)
        except DataError as error:
            passed.append(str(error))
            continue
        if passed:
            _LOG.info("passed over: %s; going on from %s", "; ".join(passed), place.folder.name)
        return found
    passed += [f"{folder}: not of this version" for folder in (run / FOLDER).glob("epoch-*") if not place_of(folder)]
    if passed or (before_done and places(run)):
        raise DataError(f"{'; '.join(passed) or run}: no checkpoint left to go on from; start anew with --fresh")
    return None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read one checkpoint after verifying every byte of it.

    Raises:
        DataError: When it is incomplete or damaged, or another than its name says.
        EnvironmentFault: When a newer version of the package wrote it.
    """
    try:
        checkpoint = from_files(read_sealed(folder))
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None
    except EnvironmentFault as error:
        raise EnvironmentFault(f"{folder}: {error}") from None
    place = place_of(folder)
    if place is not None and place.position != checkpoint.position:
        raise DataError(f"{folder}: holds the checkpoint of {checkpoint.position}")
    return checkpoint


def go_back(run: Path, good: Position | None, *, spare: bool) -> Position | None:
    """Remove the checkpoints after a good one: their weights turned out not to be good. Those that close a run stay.

    Args:
        run: The run's directory.
        good: The good one; ``None``: none is known, and all are removed.
        spare: Whether the oldest one stays where no other would be left that is whole: it may be the data that is at
            fault.

    Returns:
        Where the run goes on now; ``None``: it begins anew.
    """
    found = [place for place in places(run) if place.position.phase is not Phase.DONE]
    bad = [place for place in found if good is None or place.position > good]
    left = [place for place in found if place not in bad and _intact(place)]
    if not left and spare:
        left = [place for place in bad if _intact(place)][-1:]
    for place in bad:
        if place not in left:
            _LOG.warning("removed the checkpoint at %s: its weights turned out not to be good", place.position)
            _remove(place.folder)
    return left[0].position if left else None


def clear_unfinished(run: Path) -> None:
    """Delete what interrupted saves and removals left. For whoever holds the run's lock."""
    for left in (run / FOLDER).glob(".*"):
        shutil.rmtree(left, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True)
        sync(folder.parent)


def _remove_old(run: Path, newest: Position, keep: int, good: Collection[Position | None]) -> None:
    """All but the newest few up to the one just written; of those after it, whatever training had to pass over."""
    by_position = {place.position: place for place in reversed(places(run)) if place.position <= newest}
    ordered = sorted(by_position.values(), reverse=True)
    kept = ordered[:keep] + [place for place in ordered if place.position.phase is not Phase.DONE][:1]
    kept += [place for place in ordered if place.position in good]
    for place in places(run):
        if place not in kept and not (place.position > newest and _intact(place)):
            _remove(place.folder)


def _remove(folder: Path) -> None:
    aside = folder.with_name(f".old-{uuid.uuid4().hex}")
    try:
        folder.rename(aside)  # in one step: what is half removed must not look like a damaged checkpoint
        shutil.rmtree(aside)
    except OSError as error:
        _LOG.warning("%s: cannot be removed (%s)", folder, error.strerror)


def _intact(place: Place) -> bool:
    try:
        read_checkpoint(place.folder)
    except DataError:
        return False
    return True


def _why_not(folder: Path, error: OSError, needed: int) -> str:
    if error.errno not in _FULL:
        return f"{folder}: a checkpoint cannot be written ({error.strerror}); earlier checkpoints are intact"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    limited = error.errno == errno.EFBIG and limit != resource.RLIM_INFINITY
    room = f"files may have {_size(limit)} (ulimit -f)" if limited else f"{_size(_free_bytes(folder))} are free"
    return (
        f"{folder}: no room for a checkpoint ({error.strerror}): it needs {_size(needed)}, {room}; "
        "make room and start again, earlier checkpoints are intact"
    )


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
