"""Several processes that train one network, each on its part of every batch, as one process would on all of it.

What is equal: a loss is a mean over processes of numbers that each computes from its own samples and, where samples
are compared with each other, from the gathered features of all. Gradients flow back through the gathering to the
process that a feature came from, BatchNorm uses the statistics of all samples, and each random number is drawn for the
whole batch before a process takes its part. So weights and losses are those of one process but for rounding.
"""

import contextlib
import datetime
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from synvlp import processes
from synvlp.job import Distributed, JobError, log

BLOCK = 2**25  # gradients that are exchanged at a time
PATIENCE = datetime.timedelta(hours=1)  # how long one process waits for another, which may be saving or writing


@dataclass(frozen=True)
class Group:
    """The processes of a job: `size` of them, of which this is number `rank`."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's rows of a batch of `count`, which the number of processes divides."""
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def own(self, items: Sequence) -> Sequence:
        """Every item for this process to work on, where each can be done by any."""
        return items[self.rank :: self.size]

    def gather(self, tensor: Tensor) -> Tensor:
        """All processes' rows, (B, …) to (size B, …), those of process 0 first; gradients flow back to each.

        All must give equal shapes.
        """
        return tensor if self.size == 1 else _Gather.apply(tensor, self)

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over processes, in place; no gradients."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def means(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named scalars' means over processes; no gradients."""
        if self.size == 1:
            return {name: value.detach() for name, value in values.items()}
        means = self.total(torch.stack([value.detach() for value in values.values()])) / self.size
        return dict(zip(values, means.unbind(), strict=True))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over processes."""
        if self.size == 1:
            return
        for block in _blocks([value.grad for value in parameters if value.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in block])
            parts = (self.total(flat) / self.size).split([gradient.numel() for gradient in block])
            for gradient, part in zip(block, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))

    def join_norms(self, network: nn.Module) -> nn.Module:
        """Let every BatchNorm use the statistics of all processes' samples. On the GPU it is torch's own that does."""
        if self.size == 1:
            return network
        if next(network.parameters()).is_cuda:
            return nn.SyncBatchNorm.convert_sync_batchnorm(network)
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.__class__ = JoinedBatchNorm
        return network

    def dropout(self) -> contextlib.AbstractContextManager:
        """While it lasts, dropout is drawn for the rows of all processes, of which each takes its own."""
        return contextlib.nullcontext() if self.size == 1 else _JoinedDropout(self)


ALONE = Group()


def join(settings: Distributed) -> Group:
    """The group that `settings.processes` makes; with several, this waits for the others.

    Raises JobError if GPUs are lacking, or as many processes were not started.
    """
    count = settings.processes
    if count == 1:
        return ALONE
    told = processes.told()
    if told.get("world_size") != count:
        started = told.get("world_size", 1)
        raise JobError(f"processes = {count}, but {started} was started; run the job with `synvlp`, or with torchrun")
    gpu = settings.device != "cpu" and torch.cuda.is_available()
    if gpu:
        if told["local_world_size"] > torch.cuda.device_count():
            raise JobError(
                f"processes = {count} need as many GPUs, but torch finds {torch.cuda.device_count()} here; "
                "ask for more GPUs, or lower processes"
            )
        torch.cuda.set_device(told["local_rank"])
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if gpu else "gloo",
        init_method=os.environ.get("SYNVLP_RENDEZVOUS", "env://"),
        rank=told["rank"],
        world_size=count,
        timeout=PATIENCE,
    )
    processes.here.rank, processes.here.count = told["rank"], count
    log.info("%d processes, each of which takes %d of a batch of %d", count, settings.batch // count, settings.batch)
    return Group(told["rank"], count)


class JoinedBatchNorm(_BatchNorm):
    """BatchNorm over the samples of all processes, on the CPU; processes may have different numbers of samples."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """float (B, C, …) to the same shape: by the batch in training, by the running statistics else."""
        if not self.training:
            return super().forward(input)
        axes, shape = [0, *range(2, input.ndim)], [1, -1] + [1] * (input.ndim - 2)
        values = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        count = _Sum.apply(values.new_tensor(values.numel() / values.shape[1]))
        mean = _Sum.apply(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        made = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            made = made * self.weight.view(shape) + self.bias.view(shape)
        return made.to(input.dtype)


class _Gather(torch.autograd.Function):
    """Concatenation of all processes' rows. A row's gradient is the sum of what all processes' losses ask of it."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Group) -> Tensor:
        ctx.rows = group.part(group.size * len(tensor))
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(group.size)]
        distributed.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[ctx.rows], None


class _Sum(torch.autograd.Function):
    """Sum over processes, which each of them uses, so that the gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)


class _JoinedDropout(TorchFunctionMode):
    def __init__(self, group: Group) -> None:
        super().__init__()
        self.group = group

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is functional.dropout:
            return self.dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or not p:
            return input
        rows = self.group.size * len(input)
        kept = torch.dropout(input.new_ones(rows, *input.shape[1:]), p, True)
        return input * kept[self.group.part(rows)]


def _blocks(gradients: Sequence[Tensor]) -> list[list[Tensor]]:
    """Gradients in the order they have, in groups that hold up to BLOCK numbers, or one larger tensor."""
    blocks: list[list[Tensor]] = [[]]
    held = 0
    for gradient in gradients:
        if held and held + gradient.numel() > BLOCK:
            blocks.append([])
            held = 0
        blocks[-1].append(gradient)
        held += gradient.numel()
    return [block for block in blocks if block]
