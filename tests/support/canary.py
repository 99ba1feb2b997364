"""Scans in which everything that may hold a name holds a made-up one, and the search for it in what was written."""

import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset

NAME = "ZANARKANDINE"
"""In no word of the package, of Python or of a library; in capitals, which code strings need."""
NUMBER = "7351942860"
"""The same for values that must be digits."""
DATE = "19330517"
UID = f"1.2.826.0.1.3680043.8.498.{NUMBER}"

TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"}
KEPT = {  # what makes the file a chest CT slice; anything else is the patient's
    "SOPClassUID",
    "Modality",
    "ImageType",
    "PhotometricInterpretation",
    "SpecificCharacterSet",
    "BurnedInAnnotation",
}
SKIPPED_GROUPS = {0x0000, 0x0002, 0x0004, 0x0006, 0x0028, 0x7FE0, 0xFFFA, 0xFFFC, 0xFFFE}


def plant(folder: Path, number: int) -> None:
    """Fill every header field of a series that takes text, a date or a UID, standard and private, nested too."""
    uids = {name: f"{UID}.{number}.{place}" for place, name in enumerate(("SeriesInstanceUID", "StudyInstanceUID"))}
    for place, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        _fill(dataset, f"{UID}.{number}.9.{place}")
        for keyword, uid in uids.items():
            setattr(dataset, keyword, uid)
        dataset.FrameOfReferenceUID = f"{UID}.{number}.7"
        dataset.PatientID = f"{NAME}{number}"
        inner = Dataset()
        inner.PatientName, inner.InstitutionName = f"{NAME}^Inner", NAME
        dataset.RequestAttributesSequence = [inner]
        block = dataset.private_block(0x0099, f"{NAME} Corp", create=True)
        block.add_new(0x01, "LO", f"{NAME} private")
        dataset.save_as(folder / f"{NAME}-{place:04d}.dcm")
        path.unlink()


def found_in(paths: Iterator[Path]) -> list[str]:
    """Where a planted value turns up: in the name or the content of a file, compressed or not."""
    hits = []
    for path in paths:
        if _planted(str(path).encode("utf-8", "surrogateescape")):
            hits.append(f"the name of {path}")
        if path.is_file() and any(_planted(content) for content in _contents(path)):
            hits.append(f"the content of {path}")
    return hits


def planted_in(text: str) -> bool:
    return _planted(text.encode("utf-8", "surrogateescape"))


def _fill(dataset: Dataset, uid: str) -> None:
    for tag, (representation, *_, keyword) in DicomDictionary.items():
        if tag >> 16 in SKIPPED_GROUPS or not keyword or keyword in KEPT or keyword_for_tag(tag) != keyword:
            continue
        if representation in TEXT:
            value = f"{NAME}^Given" if representation == "PN" else NAME
        elif representation in {"DA", "DT"}:
            value = DATE
        elif representation == "UI":
            value = uid
        else:
            continue
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def _contents(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield content
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def _planted(content: bytes) -> bool:
    folded = content.lower()
    wide = NAME.lower().encode("utf-16-le")
    return any(word in folded for word in (NAME.lower().encode(), NUMBER.encode(), DATE.encode(), wide))
