"""How far the search for scans is: thousands of folders on a network file system take minutes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dcam_dist.ingest.dicom_headers import SliceHeader, read_headers

Looked = Callable[[int, int], None]
"""Called with the files found so far, and with those that were read."""

HEADER_BATCH = 256


@dataclass
class Search:
    """Counts files as they are met, and tells.

    Attributes:
        tell: Who is told.
        found: Files met in the sources.
        read: Files of which the header, or the content of an image, was read.
        closed: Folders that could not be listed.
    """

    tell: Looked | None = None
    found: int = 0
    read: int = 0
    closed: list[Path] = field(default_factory=list)

    def met(self, files: Iterable[Path]) -> Iterator[Path]:
        """Pass files through, counted as found."""
        for path in files:
            self.found += 1
            self._tell()
            yield path

    def was_read(self, files: int = 1) -> None:
        """Count files as read."""
        self.read += files
        self._tell()

    def headers(self, files: Iterable[Path]) -> list[tuple[Path, SliceHeader | None]]:
        """``read_headers`` in batches, counted as read."""
        listed = list(files)
        found: list[tuple[Path, SliceHeader | None]] = []
        for start in range(0, len(listed), HEADER_BATCH):
            batch = listed[start : start + HEADER_BATCH]
            found += read_headers(batch)
            self.was_read(len(batch))
        return found

    def _tell(self) -> None:
        if self.tell is not None:
            self.tell(self.found, self.read)
