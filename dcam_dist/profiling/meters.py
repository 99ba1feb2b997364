"""What a process has used so far."""

import resource


def peak_memory_bytes(device: str = "cpu") -> int:
    """Peak memory of this process: allocated on the device for CUDA, resident set for the CPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
