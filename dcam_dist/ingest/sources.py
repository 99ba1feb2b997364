"""From what the user names to a list of scans: folders, image files and case tables in any mix."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dcam_dist.errors import DataError, UsageError
from dcam_dist.ingest.case_table import read_case_table
from dcam_dist.ingest.dicom_headers import looks_like_dicom
from dcam_dist.ingest.images import image_suffix
from dcam_dist.ingest.scan_source import ScanSource, closed_source, dicom_sources, image_source, walk_files
from dcam_dist.ingest.search import Looked, Search
from dcam_dist.ingest.table_sources import row_source

CASE_TABLE_NAME = "cases.csv"


def find_scans(
    sources: Sequence[Path], label_names: Sequence[str] | None, looked: Looked | None = None
) -> tuple[ScanSource, ...]:
    """Find every scan under the given paths.

    Args:
        sources: Folder trees with DICOM and image files, single files, or case tables. A folder that holds a
            ``cases.csv`` is read by that table.
        label_names: The label set of the tables' labels; ``None``: labels are not looked at.
        looked: Told of each file that is found or read.

    Returns:
        The scans, those with a known fault among them. A scan that is found twice is listed once.

    Raises:
        UsageError: When a path does not exist.
        DataError: A malformed table, or nothing found.
    """
    search, from_tables = Search(looked), list[ScanSource]()
    loose: dict[Path, None] = {}  # a series may be spread over several of the folders
    for path in map(_table_or_itself, sources):
        if path.suffix.lower() == ".csv" and path.is_file():
            from_tables += [
                replace(row_source(path.parent, row, label_names, search), given_at=f"{path}, line {row.line}")
                for row in read_case_table(path)
            ]
        else:
            loose.update(dict.fromkeys(_files(path, search)))
    dicom = [path for path in loose if not image_suffix(path)]
    images = [path for path in loose if image_suffix(path)]
    found = [*from_tables, *dicom_sources(dicom, search), *(image_source(path, search) for path in images)]
    found += map(closed_source, search.closed)
    if not found:
        names = ", ".join(str(path) for path in sources) or "no source named"
        raise DataError(
            f"{names}: no DICOM, NIfTI, NRRD or MetaImage file found (links inside folders are not followed)"
        )
    unique: dict[tuple[str | None, str], ScanSource] = {}
    for scan in found:
        unique.setdefault((scan.given_id, scan.identity), scan)
    return tuple(unique.values())


def _table_or_itself(source: Path) -> Path:
    table = Path(source) / CASE_TABLE_NAME
    return table if os.path.isfile(table) else Path(source)  # noqa: PTH113 - raises nothing on a closed folder


def _files(path: Path, search: Search) -> list[Path]:
    """The image and DICOM files under a path, resolved, so that overlapping sources count once."""
    if os.path.isdir(path):  # noqa: PTH112
        return [
            file.resolve()
            for file in search.met(walk_files(path, search.closed))
            if image_suffix(file) or looks_like_dicom(file)
        ]
    if not os.path.isfile(path):  # noqa: PTH113
        raise UsageError(f"{path}: no such file or folder")
    if not image_suffix(path) and not looks_like_dicom(path):
        raise DataError(f"{path}: neither DICOM, NIfTI, NRRD or MetaImage nor a case table (.csv)")
    return [file.resolve() for file in search.met([path])]
