"""How ingest was called, so that a repair can do the same again."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcam_dist.config import Config
from dcam_dist.errors import DataError


@dataclass(frozen=True)
class IngestCall:
    """All that decides what ingest makes of the scans. Holds real paths: it belongs into the private file alone.

    Attributes:
        sources: Absolute paths.
        config: The resolved configuration.
        hash_ids: Whether given case ids are replaced by keyed hashes.
        assume_hu: Whether DICOM without rescale tags is taken for HU.
    """

    sources: tuple[Path, ...]
    config: Config
    hash_ids: bool
    assume_hu: bool

    @classmethod
    def of(cls, sources: Sequence[Path | str], config: Config, *, hash_ids: bool, assume_hu: bool) -> "IngestCall":
        """A call with sources as the user named them."""
        absolute = tuple(Path(os.path.abspath(source)) for source in sources)  # noqa: PTH100 - keeps links as named
        return cls(absolute, config, hash_ids, assume_hu)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "sources": [os.fspath(source) for source in self.sources],
            "config": self.config.model_dump(mode="json"),
            "hash_ids": self.hash_ids,
            "assume_hu": self.assume_hu,
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "IngestCall":
        """The inverse of ``to_json``.

        Raises:
            DataError: When the tree is malformed.
        """
        try:
            sources = tuple(Path(source) for source in tree["sources"])
            return cls(sources, Config.model_validate(tree["config"]), bool(tree["hash_ids"]), bool(tree["assume_hu"]))
        except (KeyError, TypeError, ValueError):
            raise DataError("the private file does not say how ingest was called; run ingest again") from None
