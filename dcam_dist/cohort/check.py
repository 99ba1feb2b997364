"""What is wrong with a folder of the store: every file compared with the manifest, and everything else named."""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath

from dcam_dist.cohort import layout
from dcam_dist.cohort.label_list import DERIVED, LABEL_LIST, check_label_list, names_in
from dcam_dist.cohort.manifest import (
    FileEntry,
    Manifest,
    check_content,
    check_shard,
    commit_content,
    seal_of,
)
from dcam_dist.cohort.plain import NOT_PLAIN, read_plain
from dcam_dist.cohort.store import stored_id
from dcam_dist.errors import DataError

_RECORD = "zarr.json"


class Fault(StrEnum):
    """What kind of thing is wrong."""

    DAMAGED = "damaged"
    """A file is missing, empty, or other than it was written."""
    UNCOMMITTED = "uncommitted"
    """The commit marker or manifest is not what the folder was closed with."""
    FOREIGN = "foreign"
    """Something that the store did not write; ``--repair`` deletes it."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        case_id: The case that it belongs to, or ``None`` for the cohort itself.
        path: The file or folder, relative to the cohort.
        fault: Its kind.
        detail: What is wrong, in a few words.
    """

    case_id: str | None
    path: str
    fault: Fault
    detail: str


def check_case(
    folder: Path, seal: str | None = None, *, deep: bool = True, case_id: str | None = None
) -> tuple[Finding, ...]:
    """Compare a case with its manifest, and its record with the folder's name.

    Args:
        folder: The case's folder; paths of the findings begin with it.
        seal: The seal that the cohort was closed with, if it is known.
        deep: Read every byte; else only the sizes and indices of the shards.
        case_id: Whose record the folder must hold; the one that it is named after, unless given.
    """
    base = f"{layout.CASES}/{folder.name}"
    if folder.is_symlink() or not folder.is_dir():
        detail = "not a folder" if os.path.lexists(folder) else "missing"
        return (Finding(folder.name, base, Fault.DAMAGED, detail),)
    manifest, findings = trusted_manifest(folder, seal)
    if manifest is not None:
        findings += check_files(folder, manifest.files, deep=deep)
        derived = derived_folders(folder)
        findings += foreign(folder, manifest.files, {f"labels/{name}" for name in derived})
        findings += _derived_faults(folder, derived, deep=deep)
        findings += _of_another(folder, case_id or folder.name, findings)
    return tuple(replace(found, case_id=folder.name, path=f"{base}/{found.path}") for found in findings)


def case_whole(cohort: Path, case_id: str) -> bool:
    """Whether every file of a stored case is as it was written; foreign files do not count."""
    return all(found.fault is Fault.FOREIGN for found in check_case(cohort / layout.CASES / case_id))


def trusted_manifest(folder: Path, seal: str | None = None) -> tuple[Manifest | None, list[Finding]]:
    """A folder's manifest, if it can be trusted: two of manifest, commit marker and seal must agree."""
    content, commit = _content(folder / layout.MANIFEST), _content(folder / layout.COMMIT)
    digest = seal_of(content) if content else None
    findings = []
    if not content or (seal is not None and digest != seal):
        findings.append(_unsealed(folder, layout.MANIFEST, content, "not the one that the cohort was closed with"))
    wanted = {commit_content(known) for known in (digest, seal) if known}
    if not commit or (wanted and commit not in wanted):
        findings.append(_unsealed(folder, layout.COMMIT, commit, f"does not agree with {layout.MANIFEST}"))
    if digest is None or digest not in (seal, _digest_in(commit)):
        return None, findings
    try:
        return Manifest.from_bytes(content or b""), findings
    except DataError as error:
        return None, [*findings, Finding(None, layout.MANIFEST, Fault.UNCOMMITTED, str(error))]


def check_files(folder: Path, files: Mapping[str, FileEntry], *, deep: bool) -> list[Finding]:
    """Files of a manifest that are missing or not as they were written."""
    findings = []
    for name, entry in files.items():
        check = check_shard if entry.chunks is not None and not deep else check_content
        check = check_label_list if name == LABEL_LIST else check
        try:
            fault = check(folder / name, entry)
        except OSError as error:
            fault = f"unreadable ({error.strerror})"
        if fault is not None:
            findings.append(Finding(None, name, Fault.DAMAGED, fault))
    return findings


def foreign(folder: Path, files: Collection[str], known_folders: Collection[str] = ()) -> list[Finding]:
    """Everything in a folder that its manifest does not name, and links in the place of folders.

    Args:
        folder: Where to look.
        files: The manifest's files; the manifest and the commit marker are known beside them.
        known_folders: Folders that are not looked into.
    """
    known = {*files, layout.MANIFEST, layout.COMMIT}
    parents = {parent.as_posix() for name in known for parent in PurePosixPath(name).parents}
    findings = []
    for name, entry in _walk(folder, "", parents - set(known_folders)):
        if name in known or name in known_folders:
            continue
        if name not in parents:
            kind = "link" if entry.is_symlink() else "folder" if entry.is_dir() else "file"
            findings.append(Finding(None, name, Fault.FOREIGN, f"{kind} that the store did not write"))
        elif entry.is_symlink():
            findings.append(Finding(None, name, Fault.DAMAGED, "a link in the place of a folder"))
    return findings


def derived_folders(case: Path) -> tuple[str, ...]:
    """The names of the derived labels that lie in a case, listed or not, whole or not."""
    try:
        with os.scandir(case / "labels") as entries:
            found = [e.name for e in entries if e.name.startswith(DERIVED) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return ()
    return tuple(sorted(found))


def derived_whole(label: Path, *, deep: bool = True) -> bool:
    """Whether a derived label is what its own seal says, and nothing else lies in it."""
    manifest, findings = trusted_manifest(label)
    return not (
        manifest is None or findings or check_files(label, manifest.files, deep=deep) or foreign(label, manifest.files)
    )


def _derived_faults(case: Path, derived: Collection[str], *, deep: bool) -> list[Finding]:
    """Derived labels that are damaged, or that the list of labels does not agree with.

    All count as foreign: the case is as ingest wrote it, and to take them out mends it.
    """
    try:
        listed = {name for name in names_in(read_plain(case / LABEL_LIST)) if name.startswith(DERIVED)}
    except (OSError, ValueError):
        listed = set()
    faults = dict.fromkeys(listed - set(derived), "a derived label that is listed but not there")
    faults |= {
        name: "a derived label that is damaged"
        for name in derived
        if not derived_whole(case / "labels" / name, deep=deep)
    }
    faults |= dict.fromkeys(set(derived) - listed, "left by an interrupted export")
    return [Finding(None, f"labels/{name}", Fault.FOREIGN, f"{faults[name]}; write it anew") for name in sorted(faults)]


def _of_another(folder: Path, case_id: str, findings: list[Finding]) -> list[Finding]:
    """A folder that holds another case than it should, for whole folders may change places."""
    if any(found.path == _RECORD for found in findings) or stored_id(folder) == case_id:
        return []
    return [Finding(None, _RECORD, Fault.DAMAGED, "the record of another case")]


def _walk(folder: Path, base: str, enter: Collection[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        name = f"{base}{entry.name}"
        yield name, entry
        if name in enter and entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{name}/", enter)


def _unsealed(folder: Path, name: str, content: bytes | None, otherwise: str) -> Finding:
    absent = NOT_PLAIN if os.path.lexists(folder / name) else "missing"
    detail = absent if content is None else otherwise if content else "empty"
    return Finding(None, name, Fault.UNCOMMITTED, detail)


def _digest_in(commit: bytes | None) -> str | None:
    return commit.decode("ascii", "replace").strip() if commit else None


def _content(path: Path) -> bytes | None:
    try:
        return read_plain(path)
    except OSError:
        return None
