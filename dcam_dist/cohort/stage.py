"""Copy what training reads of a cohort to a node's own disk: whole files, each as the case's manifest says it is.

    FOLDER/dcam-<user>-<cohort>/cases/<case_id>/    the training grid, its lung mask, their metadata

The folder's name has the cohort's seal in it, so jobs on one cohort share a copy and a changed cohort gets another. A
file has its name only once it is whole; a later start keeps what is there and as it should be. Nothing is removed:
another job may be reading. A scheduler clears a job's own ``$TMPDIR``; any other folder is for its owner to delete.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dcam_dist.cohort import layout
from dcam_dist.cohort.manifest import FileEntry, check_content, load_manifest
from dcam_dist.cohort.plain import open_plain
from dcam_dist.cohort.store import Cohort
from dcam_dist.errors import DataError, EnvironmentFault, UsageError

GIB = 2**30
BLOCK = 8 * 2**20
_VOLUMES = (layout.GRID_LEVEL, f"labels/{layout.LUNG_LABEL}/{layout.GRID_LEVEL}")
_FILES = tuple(f"{array}/{name}" for array in _VOLUMES for name in ("zarr.json", layout.SHARD))


@dataclass(frozen=True)
class StagedCase:
    """One case brought over, or not.

    Attributes:
        case_id: The case.
        copied_bytes: What was copied; 0 where it was there already.
        fault: What is wrong with it in the cohort, in a few words; it was then left out.
    """

    case_id: str
    copied_bytes: int
    fault: str | None = None


def staged_cohort(cohort: Cohort, folder: Path) -> Cohort:
    """The cohort as it is read from its staged copy, made or not.

    Args:
        cohort: The opened cohort.
        folder: The setting ``data.stage``; ``~`` and ``$VARIABLES`` are replaced.

    Raises:
        UsageError: When a variable is not set on this machine.
        DataError: When the cohort has no seal.
    """
    expanded = expanded_folder(folder, "data.stage")
    _, seal = load_manifest(cohort.path)
    return replace(cohort, path=expanded / f"dcam-{os.getuid()}-{seal[:16]}")


def expanded_folder(folder: Path, setting: str) -> Path:
    """The absolute path that a setting names; ``~`` and ``$VARIABLES`` are replaced.

    Raises:
        UsageError: When a variable is not set on this machine.
    """
    expanded = os.path.expandvars(folder.expanduser())
    if "$" in expanded:
        raise UsageError(f"{setting}={folder}: not set on this machine; set the variable, or {setting}=null")
    return Path(expanded).absolute()


def stage_cases(cohort: Cohort, case_ids: Sequence[str], staged: Path) -> Iterator[StagedCase]:
    """Copy the training grid of some cases, case by case.

    What is there already is kept where size and SHA-256 agree. A case that is damaged in the cohort is told, and goes
    without a copy: whoever reads it then meets it as damaged.

    Args:
        cohort: The cohort to copy from.
        case_ids: The cases.
        staged: The copy's folder, as ``staged_cohort`` gives it; made with access for its owner alone.

    Yields:
        What became of each case.

    Raises:
        EnvironmentFault: When the folder cannot be made or belongs to somebody else, when the disk has no room for the
            whole copy, or when it refuses.
    """
    _make_private(staged)
    manifests = {case_id: _files_of(cohort, case_id) for case_id in case_ids}
    _check_space(staged, manifests)
    for case_id, files in manifests.items():
        yield _stage_case(cohort, case_id, files, staged)


def _make_private(staged: Path) -> None:
    try:
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{staged}: cannot be made ({error.strerror}); choose another data.stage") from None
    status = staged.lstat()
    if not staged.is_dir() or staged.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise EnvironmentFault(
            f"{staged}: is not a private folder of your own; remove it, or choose another data.stage"
        )


def _files_of(cohort: Cohort, case_id: str) -> Mapping[str, FileEntry] | str:
    """The files that training reads, or what is wrong with the case."""
    try:
        manifest, _ = load_manifest(cohort.path / layout.CASES / case_id, cohort.seals.get(case_id))
        return {name: manifest.files[name] for name in _FILES}
    except DataError as error:
        return str(error)
    except KeyError as error:
        return f"{error} is not in {layout.MANIFEST}"


def _check_space(staged: Path, manifests: Mapping[str, Mapping[str, FileEntry] | str]) -> None:
    needed = 0
    for case_id, files in manifests.items():
        folder = staged / layout.CASES / case_id
        if not isinstance(files, str):
            needed += sum(entry.bytes for name, entry in files.items() if not (folder / name).is_file())
    free = shutil.disk_usage(staged).free
    if needed > free:
        raise EnvironmentFault(
            f"{staged.parent}: staging needs {needed / GIB:.2f} GiB and {free / GIB:.2f} GiB are free; "
            "make room, choose another data.stage, or read from the cohort itself with data.stage=null"
        )


def _stage_case(cohort: Cohort, case_id: str, files: Mapping[str, FileEntry] | str, staged: Path) -> StagedCase:
    if isinstance(files, str):
        return StagedCase(case_id, 0, files)
    source, target = (root / layout.CASES / case_id for root in (cohort.path, staged))
    copied = 0
    try:
        for name, entry in files.items():
            if check_content(target / name, entry) is not None:
                _copy(source / name, target / name, entry)
                copied += entry.bytes
        for name in (layout.MANIFEST, layout.COMMIT):  # last, as ingest wrote them
            _copy(source / name, target / name)
    except DataError as error:
        return StagedCase(case_id, copied, str(error))
    except OSError as error:
        raise EnvironmentFault(f"{target}: staging failed ({error.strerror}); choose another data.stage") from None
    return StagedCase(case_id, copied)


def _copy(source: Path, target: Path, entry: FileEntry | None = None) -> None:
    """Copy a file under another name, and give it its own once it is what the manifest says."""
    side = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with side.open("xb") as copy:
            for block in _blocks(source):
                digest.update(block)
                copy.write(block)
        if entry is not None and digest.hexdigest() != entry.sha256:
            raise DataError(f"{source.name}: content changed (SHA-256)")
        side.replace(target)
    finally:
        side.unlink(missing_ok=True)


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with open_plain(path) as stream:
            while block := stream.read(BLOCK):
                yield block
    except FileNotFoundError:
        raise DataError(f"{path.name}: missing") from None
    except OSError as error:
        raise DataError(f"{path.name}: not readable ({error.strerror})") from None
