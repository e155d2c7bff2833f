"""The files of a generator that is no diffusion pipeline: what kind it is, its weights, its tokenizer.

`generator.json` names the kind and holds the settings with which its networks are built; the weights of all of them
are one safetensors file; the tokenizer lies in transformers' layout.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synvlp import job
from synvlp.store import files, weights

if TYPE_CHECKING:
    import torch
    from transformers import CLIPTextConfig, CLIPTokenizer

INDEX = "generator.json"
# Field of `Files` -> place in the generator's folder.
FILES = {
    "index": INDEX,
    "weights": "generator.safetensors",
    "tokenizer": "tokenizer/tokenizer.json",
    "tokenizer_config": "tokenizer/tokenizer_config.json",
}


class Files(job.Files):
    """The files of a generator; all lie in one folder as `FILES` says."""

    index: Path = job.file("the generator's kind and the settings of its networks (generator.json)")
    weights: Path = job.file("its weights (generator.safetensors)")
    tokenizer: Path = job.file("tokenizer (tokenizer/tokenizer.json)")
    tokenizer_config: Path = job.file("its settings (tokenizer/tokenizer_config.json)")


class Trained(Files):
    """What every job writes that trains such a generator."""

    curve: Path = job.file("losses by step (CSV)")
    curve_picture: Path = job.file("losses by step (PNG)")
    samples: Path = job.file("samples for fixed prompts (PNG)")


@dataclass(frozen=True)
class Parts:
    """A generator as its files hold it.

    Attributes:
        kind: what kind it is, which says who draws with it.
        networks: part -> the settings with which it is built, as JSON has them.
        weights: "PART.NAME" -> tensor, on the CPU.
        tokenizer: for its prompts.
    """

    kind: str
    networks: dict[str, dict[str, Any]]
    weights: dict[str, "torch.Tensor"]
    tokenizer: "CLIPTokenizer"


def write(parts: Parts, paths: Files) -> None:
    """Write the files, each whole or not at all."""
    weights.save(parts.weights, paths.weights)
    backend = parts.tokenizer.backend_tokenizer
    backend.no_padding()  # what the last call padded and cut to would be saved too
    backend.no_truncation()
    paths.tokenizer.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.tokenizer.parent, prefix=".tokenizer-") as folder:
        parts.tokenizer.save_pretrained(folder)
        files.write_bytes(paths.tokenizer, Path(folder, "tokenizer.json").read_bytes())
        settings = files.read_json(Path(folder, "tokenizer_config.json"))
        files.write_json(paths.tokenizer_config, {key: settings[key] for key in settings if "name_or_path" not in key})
    files.write_json(paths.index, {"kind": parts.kind, "networks": parts.networks})


def read(paths: Sequence[Path]) -> Parts:
    """Open a generator from the list of its files. Raises JobError if they are not one generator's files."""
    from transformers import CLIPTokenizer

    index = next((Path(path) for path in paths if Path(path).name == INDEX), None)
    if index is None:
        raise job.JobError(f"a generator's files hold one {INDEX}, and there is none")
    described = read_index(index)
    for place in FILES.values():
        if not (index.parent / place).is_file():
            raise job.JobError(f"{index.parent / place} is missing; a generator's folder holds it")
    try:
        held = weights.load(index.parent / FILES["weights"])
        tokenizer = CLIPTokenizer.from_pretrained(index.parent / "tokenizer", local_files_only=True)
    except (OSError, ValueError) as error:
        raise job.JobError(f"{index.parent} cannot be opened as a generator: {error}") from error
    return Parts(described["kind"], described["networks"], held, tokenizer)


def read_index(path: Path) -> dict[str, Any]:
    """The content of a generator.json. Raises JobError if it is none."""
    try:
        described = files.read_json(path)
    except (OSError, ValueError) as error:
        raise job.JobError(f"{path} is not readable JSON: {error}") from error
    good = isinstance(described, dict) and isinstance(described.get("kind"), str)
    if not good or not isinstance(described.get("networks"), dict):
        raise job.JobError(f"{path} does not describe a generator: it holds a kind and the settings of its networks")
    return described


def build(parts: Parts, name: str, make: Any) -> Any:
    """A network of a generator, in evaluation mode: `make(**settings)` with its weights.

    Raises JobError if settings or weights are not those of such a network.
    """
    held = {key.removeprefix(f"{name}."): value for key, value in parts.weights.items() if key.startswith(f"{name}.")}
    try:
        network = make(**parts.networks[name])
        network.load_state_dict(held)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise job.JobError(
            f"the files of the {parts.kind} do not hold its {name}: {type(error).__name__}: {error}"
        ) from error
    return network.eval()


def named_weights(networks: Mapping[str, "torch.nn.Module"]) -> dict[str, "torch.Tensor"]:
    """The weights of several networks, as `Parts` names them."""
    return {f"{name}.{key}": value for name, part in networks.items() for key, value in part.state_dict().items()}


# What describes a text encoder; all else of its config stays as transformers has it.
TEXT = (
    "vocab_size", "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip


def text_settings(config: "CLIPTextConfig") -> dict[str, Any]:
    """The settings from which `text_encoder` builds such an encoder again."""
    return {name: getattr(config, name) for name in TEXT}


def text_encoder(**settings: Any) -> Any:
    """A CLIP text encoder with random weights."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig(**settings))
