"""A text-to-image pipeline in diffusers' layout: its files, how it is opened safely and how it is written.

`diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)` opens what is written here.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synvlp import job
from synvlp.store import files

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, SchedulerMixin, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

# Field of `Files` -> place in the pipeline's folder.
FILES = {
    "model_index": "model_index.json",
    "scheduler_config": "scheduler/scheduler_config.json",
    "text_encoder_config": "text_encoder/config.json",
    "text_encoder_weights": "text_encoder/model.safetensors",
    "tokenizer": "tokenizer/tokenizer.json",
    "tokenizer_config": "tokenizer/tokenizer_config.json",
    "unet_config": "unet/config.json",
    "unet_weights": "unet/diffusion_pytorch_model.safetensors",
    "vae_config": "vae/config.json",
    "vae_weights": "vae/diffusion_pytorch_model.safetensors",
}

# The parts that are understood; a scheduler of any kind is.
PARTS = {
    "vae": {"AutoencoderKL"},
    "text_encoder": {"CLIPTextModel"},
    "tokenizer": {"CLIPTokenizer", "CLIPTokenizerFast"},
    "unet": {"UNet2DConditionModel"},
}
WEIGHTS = {"vae": "diffusion_pytorch_model", "unet": "diffusion_pytorch_model", "text_encoder": "model"}


class Files(job.Files):
    """The files of a pipeline; all lie in one folder as `FILES` says."""

    model_index: Path = job.file("the pipeline's parts (pipeline/model_index.json)")
    scheduler_config: Path = job.file("scheduler (pipeline/scheduler/scheduler_config.json)")
    text_encoder_config: Path = job.file("text encoder (pipeline/text_encoder/config.json)")
    text_encoder_weights: Path = job.file("its weights (pipeline/text_encoder/model.safetensors)")
    tokenizer: Path = job.file("tokenizer (pipeline/tokenizer/tokenizer.json)")
    tokenizer_config: Path = job.file("its settings (pipeline/tokenizer/tokenizer_config.json)")
    unet_config: Path = job.file("U-Net (pipeline/unet/config.json)")
    unet_weights: Path = job.file("its weights (pipeline/unet/diffusion_pytorch_model.safetensors)")
    vae_config: Path = job.file("autoencoder (pipeline/vae/config.json)")
    vae_weights: Path = job.file("its weights (pipeline/vae/diffusion_pytorch_model.safetensors)")

    def pipeline(self) -> dict[str, Path]:
        """Field -> path of the pipeline's own files, without those that a job adds."""
        return {name: getattr(self, name) for name in FILES}


@dataclass(frozen=True)
class Pipeline:
    """The parts of a latent diffusion model, in float32, on the CPU, in evaluation mode when opened."""

    vae: "AutoencoderKL"
    text_encoder: "CLIPTextModel"
    tokenizer: "CLIPTokenizer"
    unet: "UNet2DConditionModel"
    scheduler: "SchedulerMixin"


def open_files(paths: Sequence[Path]) -> Pipeline:
    """Open a pipeline from the list of its files. Raises JobError if they are not one pipeline's files."""
    index = [Path(path) for path in paths if Path(path).name == "model_index.json"]
    if len(index) != 1:
        raise job.JobError(f"a pipeline's files hold one model_index.json, not {len(index)}")
    return open_folder(index[0].parent)


def open_folder(folder: Path, variant: str | None = None) -> Pipeline:
    """Open a pipeline's folder: safetensors only, no code from the folder, no network, no safety checker.

    Args:
        folder: what `save_pretrained` wrote, or a downloaded copy of a published pipeline.
        variant: which of the published weights, as in `model.fp16.safetensors`; None: those without a word.

    Raises:
        JobError: a file is missing, is no JSON, or names a part of a kind that is not understood.
    """
    folder = Path(folder)
    index = _read_index(folder)
    for part, base in WEIGHTS.items():
        _check_weights(folder / part, base, variant)
    if not (folder / "tokenizer/tokenizer.json").is_file():
        _require(folder / "tokenizer/vocab.json")
        _require(folder / "tokenizer/merges.txt")
    _require(folder / "scheduler/scheduler_config.json")
    return _load(folder, variant, index["scheduler"][1])


def write(pipeline: Pipeline, paths: Files) -> None:
    """Write the pipeline's files, each whole or not at all, with nothing in them that names a folder."""
    quiet()
    folder = paths.model_index.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pipeline-") as name:
        temporary = Path(name)
        for part in ("vae", "unet", "text_encoder"):
            getattr(pipeline, part).save_pretrained(temporary / part, max_shard_size="1TB")
        # What the last call padded and cut to would be saved too.
        pipeline.tokenizer.backend_tokenizer.no_padding()
        pipeline.tokenizer.backend_tokenizer.no_truncation()
        pipeline.tokenizer.save_pretrained(temporary / "tokenizer")
        pipeline.scheduler.save_pretrained(temporary / "scheduler")
        files.write_json(temporary / "model_index.json", _index(pipeline))
        for field, path in paths.pipeline().items():
            _move(temporary / FILES[field], path)


def write_autoencoder(vae: "AutoencoderKL", config: Path, weights: Path) -> None:
    """Write an autoencoder's two files, so that `AutoencoderKL.from_pretrained(folder)` opens them."""
    config.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=config.parent, prefix=".autoencoder-") as name:
        vae.save_pretrained(name, max_shard_size="1TB")
        _move(Path(name) / "config.json", config)
        _move(Path(name) / "diffusion_pytorch_model.safetensors", weights)


def open_autoencoder(config: Path, weights: Path) -> "AutoencoderKL":
    """Open an autoencoder from its two files. Raises JobError if they are none or do not fit each other."""
    from diffusers import AutoencoderKL

    from synvlp.store import weights as store

    settings = _read_json(config)
    if settings.get("_class_name") != "AutoencoderKL":
        raise job.JobError(f"{config} describes {settings.get('_class_name')}, not AutoencoderKL")
    vae = AutoencoderKL.from_config({key: value for key, value in settings.items() if not key.startswith("_")})
    try:
        vae.load_state_dict(store.load(weights))
    except (RuntimeError, ValueError) as error:
        raise job.JobError(f"{weights} does not hold the weights of {config}: {error}") from error
    return vae.eval()


def quiet() -> None:
    """Switch off the progress bars that the libraries draw when they read and write weights."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()


def _load(folder: Path, variant: str | None, scheduler: str) -> Pipeline:
    import diffusers
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    quiet()
    how = {"local_files_only": True, "use_safetensors": True, "variant": variant}
    try:
        vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32, **how)
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, **how)
        text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32, **how)
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        kind = getattr(diffusers, scheduler)
        made = kind.from_pretrained(folder / "scheduler", local_files_only=True)
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        raise job.JobError(f"{folder} cannot be opened as a diffusers pipeline: {error}") from error
    longest = text_encoder.config.max_position_embeddings
    tokenizer.model_max_length = min(tokenizer.model_max_length, longest)
    return Pipeline(vae.eval(), text_encoder.eval(), tokenizer, unet.eval(), made)


def _read_index(folder: Path) -> dict:
    index = _read_json(_require(folder / "model_index.json"))
    for part, kinds in PARTS.items():
        kind = (index.get(part) or [None, None])[1]
        if kind not in kinds:
            known = " or ".join(sorted(kinds))
            raise job.JobError(f"{folder / 'model_index.json'}: {part} is {kind}; {known} is what can be used")
    kind = (index.get("scheduler") or [None, None])[1]
    if not str(kind).endswith("Scheduler"):
        raise job.JobError(f"{folder / 'model_index.json'}: scheduler is {kind}, not a scheduler of diffusers")
    return index


def _check_weights(folder: Path, base: str, variant: str | None) -> None:
    _require(folder / "config.json")
    word = f".{variant}" if variant else ""
    names = [f"{base}{word}.safetensors", f"{base}.safetensors.index{word}.json"]
    if any((folder / name).is_file() for name in names):
        return
    there = sorted(path.name for path in folder.glob("*") if path.suffix in {".bin", ".ckpt", ".pt", ".safetensors"})
    found = f"; there is {', '.join(there)}" if there else ""
    pickled = any(not name.endswith(".safetensors") for name in there)
    hint = " (pickled weights are never read: convert them to safetensors)" if pickled else ""
    raise job.JobError(f"{folder / names[0]} is missing{found}{hint}")


def _require(path: Path) -> Path:
    if not path.is_file():
        raise job.JobError(f"{path} is missing; a pipeline's folder holds it")
    return path


def _read_json(path: Path) -> dict:
    try:
        value = files.read_json(path)
    except (OSError, ValueError) as error:
        raise job.JobError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise job.JobError(f"{path} holds {type(value).__name__}, not settings by name")
    return value


def _index(pipeline: Pipeline) -> dict:
    import diffusers

    empty = [None, None]
    return {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": empty,
        "image_encoder": empty,
        "requires_safety_checker": False,
        "safety_checker": empty,
        "scheduler": ["diffusers", type(pipeline.scheduler).__name__],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def _move(source: Path, path: Path) -> None:
    """Move a file into its place; from a JSON file, take what names a folder and what is not JSON (-Infinity)."""
    if source.suffix == ".json" and source.name != "tokenizer.json":
        value = json.loads(source.read_text(encoding="utf-8"))
        files.write_json(path, {name: item for name, item in value.items() if not _is_stray(name, item)})
        return
    with files.replacing(path) as part:
        source.replace(part)


def _is_stray(name: str, item: object) -> bool:
    return name in {"_name_or_path", "name_or_path"} or (isinstance(item, float) and not math.isfinite(item))
