"""Train a small language model from scratch that writes reports for sets of concepts.

A decoder-only transformer (GPT-2's layout, which transformers opens) with a byte-level byte-pair encoding, both
learnt from the reports of a corpus's train split. A text is the names of the report's concepts in random order, then
FINDINGS, then IMPRESSION; the loss counts the report alone. The weights of the best validation are kept.
"""

import functools
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.concepts import observed, prefix
from synvlp.store import files, seeds, tables

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel

IGNORED = -100  # a target that transformers' loss leaves out


class Settings(job.Compute):
    vocabulary: int = job.setting(2000, "tokens, at most; 256 of them are single bytes", unit="tokens", ge=300)
    tokens: int = job.setting(256, "tokens of a text, concepts and report; longer ones are cut", unit="tokens", ge=32)
    layers: int = job.setting(4, "transformer layers", ge=1)
    width: int = job.setting(128, "width of the layers", ge=8)
    heads: int = job.setting(4, "attention heads; they divide the width", ge=1)
    dropout: float = job.setting(0.1, "share of activations that are dropped in training", ge=0, lt=1)
    steps: int = job.setting(600, "updates", unit="steps", ge=1)
    batch: int = job.setting(16, "reports an update", unit="reports", ge=1)
    rate: float = job.setting(0.002, "highest learning rate; it rises in a line, then falls as a cosine to 0", gt=0)
    warmup: int = job.setting(40, "updates over which the rate rises", unit="steps", ge=0)
    weight_decay: float = job.setting(0.05, "AdamW's", ge=0)
    clip: float = job.setting(1.0, "largest norm of the gradient; 0: any", ge=0)
    validate_every: int = job.setting(100, "updates between two looks at the validation split", unit="steps", ge=1)
    seed: int = job.setting(0, "seeds weights, batches and the order of concepts", ge=0)

    def check(self) -> None:
        """Whether attention heads divide the width."""
        job.check_multiple(self, "width", self.heads, f"heads = {self.heads}")


class Inputs(job.Files):
    sections: Path = job.file("sections of the corpus's anonymized reports (Parquet)")
    mentions: Path = job.file("concepts of the corpus's reports (Parquet)")
    studies: Path = job.file("studies of the corpus (Parquet)")


class Outputs(job.Files):
    config: Path = job.file("config.json")
    weights: Path = job.file("model.safetensors")
    tokenizer: Path = job.file("tokenizer.json")
    tokenizer_config: Path = job.file("tokenizer_config.json")
    curve: Path = job.file("loss over the steps (CSV)")


@dataclass(frozen=True)
class Example:
    """A real report and the names of its concepts."""

    study_id: str
    names: list[str]
    body: str


@dataclass
class _Found:
    """What the training has found so far."""

    best: dict[str, Any] = field(default_factory=dict)
    best_loss: float = math.inf
    curve: list[list] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Train the model. Raises JobError if the corpus has no report with both sections and a concept."""
    import torch

    from synvlp.models import device

    train, held_out = (examples(inputs, split) for split in ("train", "val"))
    if not train:
        raise job.JobError(f"{inputs.sections}: no report of the train split has both sections and a concept")
    place = device.prepare(settings)
    coder = learn_tokenizer([f"{'; '.join(one.names)} {one.body}" for one in train], settings.vocabulary)
    job.log.info("%d reports, %d of them held out, %d tokens", len(train) + len(held_out), len(held_out), len(coder))
    torch.manual_seed(seeds.seed_of(settings.seed, "weights"))
    model = build(settings, coder).to(place)
    scratch = job.Scratch(__name__, settings, inputs)
    found = _train(model, coder, train, held_out, settings, scratch)
    model.load_state_dict(found.best)
    _save(model, coder, found, outputs)
    scratch.remove()


def examples(inputs: Inputs, split: str) -> list[Example]:
    """The reports of a split that have findings, an impression and at least one concept, by their ids."""
    concepts = observed.sets(inputs.mentions, inputs.studies, split)
    sections = tables.read(inputs.sections, tables.SECTIONS, ["study_id", "findings", "impression"])
    return [
        Example(row.study_id, concepts[row.study_id], prefix.body(row.findings, row.impression))
        for row in sections.sort_values("study_id").itertuples()
        if row.study_id in concepts and row.findings.strip() and row.impression.strip()
    ]


def learn_tokenizer(texts: Sequence[str], size: int) -> Any:
    """A byte-level byte-pair encoding (Radford et al. 2019), as transformers' fast tokenizer; no text is unknown."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    coder = Tokenizer(models.BPE())
    coder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    coder.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(prefix.SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    coder.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=coder, eos_token=prefix.END, pad_token=prefix.END)


def build(settings: Settings, coder: Any) -> "GPT2LMHeadModel":
    """The network, with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=len(coder),
        n_positions=settings.tokens,
        n_embd=settings.width,
        n_layer=settings.layers,
        n_head=settings.heads,
        resid_pdrop=settings.dropout,
        embd_pdrop=settings.dropout,
        attn_pdrop=settings.dropout,
        bos_token_id=coder.eos_token_id,
        eos_token_id=coder.eos_token_id,
        pad_token_id=coder.eos_token_id,
    )
    return GPT2LMHeadModel(config)


def encode(
    coder: Any, batch: Sequence[Example], tokens: int, rng: np.random.Generator | None
) -> "dict[str, torch.Tensor]":
    """Token ids, mask and targets of a batch, each (texts, tokens); what is no report has the target -100.

    Args:
        coder: the tokenizer.
        batch: the reports.
        tokens: longest text.
        rng: draws the order of the concepts; None: as they are.
    """
    import torch

    rows = []
    for one in batch:
        names = one.names if rng is None else [one.names[index] for index in rng.permutation(len(one.names))]
        before = coder(prefix.condition(names), add_special_tokens=False)["input_ids"]
        after = coder(one.body, add_special_tokens=False)["input_ids"]
        rows.append(((before + after)[:tokens], min(len(before), tokens)))
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), longest), coder.pad_token_id)
    labels = torch.full((len(rows), longest), IGNORED)
    mask = torch.zeros(len(rows), longest, dtype=torch.int64)
    for row, (own, given) in enumerate(rows):
        ids[row, : len(own)] = torch.tensor(own)
        labels[row, given : len(own)] = torch.tensor(own[given:])
        mask[row, : len(own)] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _train(
    model: "GPT2LMHeadModel",
    coder: Any,
    train: list[Example],
    held_out: list[Example],
    settings: Settings,
    scratch: job.Scratch,
) -> _Found:
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.rate, betas=(0.9, 0.95), weight_decay=settings.weight_decay
    )
    found, first = _resume(model, optimizer, scratch)
    for step in job.progress(range(first, settings.steps), "steps", total=settings.steps, start=first):
        found.losses.append(_update(model, optimizer, coder, train, step, settings))
        if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
            _validate(model, coder, held_out, step + 1, found, settings)
        state = functools.partial(_state, model, optimizer, found, step + 1)
        scratch.checkpoint(state, f"at step {step + 1} of {settings.steps}")
    return found


def _update(
    model: "GPT2LMHeadModel", optimizer: Any, coder: Any, train: list[Example], step: int, settings: Settings
) -> float:
    """One update; all its randomness follows from the seed and the step. Returns the loss."""
    import torch

    from synvlp.models import device

    number = seeds.seed_of(settings.seed, "step", step)
    rng = np.random.default_rng(number)
    chosen = rng.choice(len(train), size=settings.batch, replace=len(train) < settings.batch)
    batch = encode(coder, [train[index] for index in chosen], settings.tokens, rng)
    for group in optimizer.param_groups:
        group["lr"] = rate_at(step, settings)
    model.train()
    torch.manual_seed(number)
    optimizer.zero_grad()
    with device.autocast(settings, model.device):
        loss = model(**{name: value.to(model.device) for name, value in batch.items()}).loss
    loss.backward()
    if settings.clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimizer.step()
    return loss.item()


def _validate(
    model: "GPT2LMHeadModel", coder: Any, held_out: list[Example], step: int, found: _Found, settings: Settings
) -> None:
    """Add a point to the curve, and keep the weights if they are the best so far; without held-out reports, the last.

    The loss is the mean over the tokens of all held-out reports.
    """
    import torch

    training = sum(found.losses) / len(found.losses)
    found.losses = []
    model.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(held_out), settings.batch):
            batch = encode(coder, held_out[start : start + settings.batch], settings.tokens, None)
            tokens = int((batch["labels"][:, 1:] != IGNORED).sum())
            loss = model(**{name: value.to(model.device) for name, value in batch.items()}).loss.item()
            total, count = total + (loss * tokens if tokens else 0), count + tokens
    validation = total / count if count else training
    if not (math.isfinite(training) and math.isfinite(validation)):
        raise job.JobError(f"the loss is not finite by step {step}; a lower rate helps (rate = {settings.rate:g})")
    found.curve.append([step, "training", "loss", training])
    if count:
        found.curve.append([step, "validation", "loss", validation])
    job.log.info("step %d: loss %.4f, validation %.4f", step, training, validation)
    if validation < found.best_loss or not count:
        found.best_loss = validation
        found.best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def rate_at(step: int, settings: Settings) -> float:
    """The learning rate of a step: up in a line over the warm-up, then down to 0 along a cosine."""
    if step < settings.warmup:
        return settings.rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.rate * (1 + math.cos(math.pi * done)) / 2


def _state(model: Any, optimizer: Any, found: _Found, step: int) -> dict:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "found": vars(found), "step": step}


def _resume(model: Any, optimizer: Any, scratch: job.Scratch) -> tuple[_Found, int]:
    state = scratch.load()
    if state is None:
        return _Found(), 0
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return _Found(**state["found"]), state["step"]


def _save(model: Any, coder: Any, found: _Found, outputs: Outputs) -> None:
    """Write the files of transformers' layout that `from_pretrained` of their folder opens."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save_pretrained(folder)
        coder.save_pretrained(folder)
        for path in (outputs.config, outputs.weights, outputs.tokenizer, outputs.tokenizer_config):
            with files.replacing(path) as part:
                shutil.copyfile(folder / path.name, part)
    curve = pd.DataFrame(found.curve, columns=list(tables.CURVE.columns))
    tables.write_csv(curve.sort_values(list(tables.CURVE.key), kind="stable"), outputs.curve)
