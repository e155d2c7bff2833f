"""What a training computes, for test_distributed.py: as the only process, or as one of several that are started with

    python tests/encoders/apart.py CASES RESULTS

CASES is JSON: method, settings and inputs of each training. Process 0 writes the RESULTS.
"""

import dataclasses
import json
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import torch

from synvlp import job
from synvlp.encoders import batches, convirt, gloria, loop, mgca, network, trainer
from synvlp.models import device, parallel

METHODS = {"convirt": convirt, "gloria": gloria, "mgca": mgca}


def measured(module: ModuleType, settings: job.Distributed, inputs: job.Files, group: parallel.Group) -> dict:
    """Losses, gradients and running statistics of one batch; if there is more than one step, all weights after them.

    Where several processes train, the last one is asked to stop after the first step, and all go on from there.
    In double precision: the gradient of a bias before a BatchNorm is zero but for rounding, which AdamW would blow up
    to the size of a step.
    """
    pairs = batches.read(inputs.pairs, inputs.pixels, inputs.tokenizer, settings)
    model, method = wide(module, settings, inputs, group), exact(module.METHOD)
    run = loop._Run(method, model, pairs, settings, torch.device("cpu"), group)
    index = uneven(pairs, settings.batch)
    torch.manual_seed(0)
    batch = pairs.train(index, settings.batch, group.part(settings.batch))
    with group.dropout():
        losses = run.losses(run.view(batch, index), batch, group)
    losses["total"].backward()
    group.average_gradients(model.parameters())
    found = {f"loss {name}": value for name, value in group.means(losses).items()}
    found |= {f"gradient {name}": value.grad for name, value in model.named_parameters() if value.grad is not None}
    found |= {f"buffer {name}": value.clone() for name, value in model.named_buffers()}
    if not settings.steps > 1:
        return found
    if group.size > 1:
        with mock.patch.object(job._asked, "signal", "" if group.first else "SIGTERM"):
            try:
                trained(method, wide(module, settings, inputs, group), pairs, settings, inputs, group)
            except job.Stopped as stopped:
                print(f"process {group.rank}: {stopped}")
            torch.distributed.barrier()
    model = wide(module, settings, inputs, group)
    result = trained(method, model, pairs, settings, inputs, group)
    found |= {f"weight {name}": value for name, value in model.state_dict().items()}
    return found | {f"curve {step} {phase} {name}": torch.tensor(value) for step, phase, name, value in result.curve}


def trained(method, model, pairs, settings, inputs, group) -> loop.Result:
    """`model`, trained in place; its state is kept under $SYNVLP_SCRATCH."""
    scratch = job.Scratch(method.module, settings, inputs)
    return loop.train(method, model, pairs, settings, torch.device("cpu"), scratch, group)


def wide(module: ModuleType, settings: job.Distributed, inputs: job.Files, group: parallel.Group) -> torch.nn.Module:
    """The network in double precision."""
    model = group.join_norms(network.build(module.METHOD, settings, inputs)).double().train()
    model.image.register_forward_pre_hook(lambda module, given: (given[0].double(),))
    return model


def exact(method: trainer.Method) -> trainer.Method:
    """The method, which shall narrow nothing to single precision."""

    def losses_of(*given):
        with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
            return method.losses_of(*given)

    return dataclasses.replace(method, losses_of=losses_of)


def uneven(pairs: batches.PairSets, size: int) -> int:
    """The first batch whose halves have longest texts of different length, in words."""
    for index in range(100):
        words = pairs.train(index, size).word_of
        if words[: size // 2].max() != words[size // 2 :].max():
            return index
    raise ValueError("all batches are even")


def main(cases: Path, results: Path) -> None:
    group = None
    found = {}
    for name, case in json.loads(cases.read_text()).items():
        module = METHODS[case["method"]]
        settings, inputs = module.Settings(**case["settings"]), module.Inputs(**case["inputs"])
        group = group or parallel.join(settings)
        device.prepare(settings)
        found[name] = measured(module, settings, inputs, group)
    if group.first:
        torch.save(found, results)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
