"""Texts from a causal language model: in batches, but each with random numbers of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synvlp import job

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Settings(job.Compute):
    """How texts are drawn from a model."""

    temperature: float = job.setting(0.7, "divides the logits; 0: always the most likely token", ge=0, le=5)
    top_p: float = job.setting(0.95, "probability of the most likely tokens that are drawn from", gt=0, le=1)
    max_tokens: int = job.setting(400, "tokens of a report, at most", unit="tokens", ge=8)
    batch: int = job.setting(16, "reports at a time", unit="reports", ge=1)


def load(folder: Path, place: "torch.device", settings: Settings) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """A model's folder in transformers' layout, ready to write. Only safetensors are read, and no code of its own runs.

    Raises JobError if the folder holds no such model.
    """
    import torch
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    half = place.type == "cuda" and settings.precision != "fp32"
    only = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **only)
        dtype = torch.bfloat16 if half else torch.float32
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, dtype=dtype, **only)
    except Exception as error:  # the library raises what it likes
        kind = type(error).__name__
        raise job.JobError(
            f"{folder}: not the folder of a causal language model with config, tokenizer and *.safetensors ({kind})"
        ) from error
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(place).eval(), tokenizer


def write(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    text_seeds: Sequence[int],
    settings: Settings,
    *,
    plain: bool = True,
) -> list[str]:
    """What the model writes after each prompt, which holds all special tokens that it needs.

    Tokens are drawn by the Gumbel-max trick (argmax of log p + noise is a draw from p) with noise from each text's own
    seed, so that a text does not depend on those beside it, but for the rounding of the model's matrix products.

    Args:
        model, tokenizer: as `load` gives them.
        prompts: what is gone on from.
        text_seeds: a seed for each.
        settings: how tokens are drawn.
        plain: leave special tokens out of the texts.

    Raises:
        JobError: a prompt leaves no room for a text.
    """
    import torch
    from transformers import LogitsProcessorList

    coded = tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    room = getattr(model.config, "max_position_embeddings", None)
    if room is not None and coded["input_ids"].shape[1] + 8 > room:
        raise job.JobError(
            f"a request has {coded['input_ids'].shape[1]} tokens, and the model reads {room}: it leaves no room for a "
            "report; fewer concepts or shorter definitions help"
        )
    length = settings.max_tokens if room is None else min(settings.max_tokens, room - coded["input_ids"].shape[1])
    with torch.inference_mode():
        found = model.generate(
            **{name: coded[name] for name in ("input_ids", "attention_mask")},
            do_sample=False,
            num_beams=1,
            max_new_tokens=length,
            pad_token_id=tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList([_noise(text_seeds, settings)] if settings.temperature else []),
        )
    return tokenizer.batch_decode(found[:, coded["input_ids"].shape[1] :], skip_special_tokens=plain)


def _noise(text_seeds: Sequence[int], settings: Settings) -> Any:
    """A logits processor that makes the most likely token a draw from each text's own random numbers."""
    import torch
    from transformers import LogitsProcessor

    generators = [torch.Generator().manual_seed(seed) for seed in text_seeds]

    class Noise(LogitsProcessor):
        def __call__(self, input_ids: "torch.LongTensor", scores: "torch.FloatTensor") -> "torch.FloatTensor":
            kept = nucleus(scores.float() / settings.temperature, settings.top_p)
            uniform = torch.stack([torch.rand(kept.shape[1], generator=generator) for generator in generators])
            gumbel = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
            return kept + gumbel.to(kept.device)

    return Noise()


def nucleus(logits: "torch.Tensor", top_p: float) -> "torch.Tensor":
    """Logits (texts, tokens) with -inf for all but the most likely tokens, which together have probability `top_p`.

    The most likely token always stays. Nucleus sampling, Holtzman et al. 2020.
    """
    import torch

    if top_p >= 1:
        return logits
    ordered, places = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ordered.softmax(dim=-1)
    out = probabilities.cumsum(dim=-1) - probabilities >= top_p
    return logits.masked_fill(torch.zeros_like(out).scatter(-1, places, out), -torch.inf)
