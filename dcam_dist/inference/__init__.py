"""A trained model on new scans, and the bundle in which it travels."""

from dcam_dist.inference.export import ExportSummary, export_run
from dcam_dist.inference.infer import infer
from dcam_dist.inference.summary import InferSummary

__all__ = ["ExportSummary", "InferSummary", "export_run", "infer"]
