"""Network weights as safetensors; nothing here unpickles."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from synvlp.store import files

if TYPE_CHECKING:
    import torch


def save(tensors: Mapping[str, "torch.Tensor"], path: Path) -> None:
    """Write named tensors to a safetensors file, sorted by name, on the CPU and contiguous."""
    from safetensors.torch import save as to_bytes

    ready = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    files.write_bytes(path, to_bytes(ready, metadata={"format": "pt"}))


def load(path: Path) -> dict[str, "torch.Tensor"]:
    """The named tensors of a safetensors file, on the CPU. Raises ValueError if it is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
