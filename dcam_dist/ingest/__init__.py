"""From scans to a cohort: reading, quality checks, lung mask, training grid, and the Dask fan-out over the cases."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["IngestSummary", "Part", "PartSummary", "ingest", "ingest_part"]

if TYPE_CHECKING:
    from dcam_dist.ingest.part import Part, PartSummary, ingest_part
    from dcam_dist.ingest.run import IngestSummary, ingest


def __getattr__(name: str) -> Any:
    if name in __all__:  # loaded on first use: the readers and Dask take a second to import
        module = "run" if name in ("IngestSummary", "ingest") else "part"
        return getattr(import_module(f"dcam_dist.ingest.{module}"), name)
    raise AttributeError(f"module 'dcam_dist.ingest' has no attribute {name!r}")
