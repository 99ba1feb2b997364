"""Memory meters, the same for the trainer, the planner and the benchmarks."""

from dcam_dist.profiling.meters import peak_memory_bytes

__all__ = ["peak_memory_bytes"]
