"""Run under torchrun: unequal shares of a batch through the global batch norm. Argument: OUT.safetensors."""

import sys

import torch
from safetensors.torch import save_file

from dcam_dist.distributed import open_processes
from dcam_dist.models.checkpointing import run_block
from dcam_dist.models.norm import GlobalBatchNorm3d

with open_processes() as context:
    generator = torch.Generator().manual_seed(5)
    x, weight = (torch.randn(5, 3, 4, 4, 4, generator=generator) for _ in range(2))
    share = slice(context.rank, None, context.world_size)
    mine = x[share].clone().requires_grad_()
    norm = GlobalBatchNorm3d(3, momentum=0.1)
    y = run_block(norm, mine, policy=sys.argv[2])
    (y * weight[share]).sum().backward()
    for gradient in (norm.weight.grad, norm.bias.grad):
        torch.distributed.all_reduce(gradient)
    rows = {"y": torch.zeros_like(x), "grad": torch.zeros_like(x)}
    rows["y"][share], rows["grad"][share] = y.detach(), mine.grad
    for value in rows.values():
        torch.distributed.all_reduce(value)
    if context.is_main:
        buffers = {"mean": norm.running_mean, "var": norm.running_var}
        save_file({**rows, **buffers, "weight": norm.weight.grad, "bias": norm.bias.grad}, sys.argv[1])
