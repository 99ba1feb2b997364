"""What must hold on all nodes before a batch job's work begins."""

from dcam_dist.hpc.preflight.check import parse_place, preflight
from dcam_dist.hpc.preflight.node_state import Wanted
from dcam_dist.hpc.preflight.verdict import Findings

__all__ = ["Findings", "Wanted", "parse_place", "preflight"]
