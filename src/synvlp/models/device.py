"""Where and how a job computes: device, number format, threads and determinism."""

import contextlib
import os

import torch

from synvlp.job import Compute, JobError, log


def prepare(settings: Compute) -> torch.device:
    """Fix threads and algorithms so that equal jobs give equal bytes; returns the device to use.

    Raises JobError if a GPU is asked for and there is none.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(settings.cpu_threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs a tenth of the time, finds bugs only
    torch.backends.cudnn.benchmark = False
    found = torch.cuda.is_available()
    if settings.device == "cuda" and not found:
        raise JobError("device = cuda, but torch finds no GPU here; set device to auto or cpu")
    device = torch.device("cuda" if found and settings.device != "cpu" else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{settings.cpu_threads} CPU thread(s)"
    log.info("computing on %s", name)
    return device


def autocast(settings: Compute, device: torch.device) -> contextlib.AbstractContextManager:
    """Mixed precision as the settings say: bfloat16 on a GPU unless fp32 is asked for, float32 on the CPU."""
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)
