"""The pre-training that ConVIRT, GLoRIA and MGCA share: settings, files, and the job around the training loop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from synvlp import job
from synvlp.store import files, tables


class Training(job.Distributed):
    """Settings of every method. Methods change defaults and add their own."""

    seed: int = job.setting(0, "seeds weights, order of the pairs, augmentation and dropout", ge=0)
    architecture: Literal["resnet18", "resnet50"] = job.setting("resnet50", "the image encoder")
    image_size: int = job.setting(224, "the network's input", unit="px", ge=32)
    text_layers: int = job.setting(12, "layers of the text encoder; a given one is cut to these", ge=1)
    text_hidden: int = job.setting(768, "width of the text encoder, unless one is given", ge=8)
    text_heads: int = job.setting(12, "attention heads of the text encoder, unless one is given", ge=1)
    text_dropout: float = job.setting(0.1, "dropout in the text encoder, unless one is given", ge=0, lt=1)
    frozen_text_layers: int = job.setting(
        0, "first layers of the text encoder that stay as given, its embeddings with them; 0: none", ge=0
    )
    last_layers: int = job.setting(1, "how many of the text encoder's last layers are summed", ge=1)
    length: int = job.setting(128, "tokens of the longest text, [CLS] and [SEP] included", unit="tokens", ge=4)
    sentences: bool = job.setting(True, "read one random sentence of a report at a time instead of all of it")
    weights: list[float] = job.setting(
        [], "how often each set of pairs is drawn, relative, phase by phase; none: equally"
    )
    phases: list[float] | None = job.setting(
        None, "lengths of the training's phases, relative, each with weights of its own; left out: one phase"
    )
    steps: int = job.setting(200_000, "updates of the weights", unit="steps", ge=1)
    batch: int = job.setting(32, "pairs that are contrasted with each other", unit="pairs", ge=2)
    accumulate: int = job.setting(
        1, "batches per update; their gradients are averaged, their pairs are not contrasted", unit="batches", ge=1
    )
    rate: float = job.setting(1e-4, "highest learning rate", gt=0)
    weight_decay: float = job.setting(1e-6, "AdamW's decay of matrices and kernels", ge=0)
    beta1: float = job.setting(0.9, "decay of AdamW's mean gradient", ge=0, lt=1)
    warmup: float = job.setting(0.05, "share of the steps in which the learning rate rises", ge=0, lt=1)
    clip: float = job.setting(1.0, "longest gradient; 0 for any length", ge=0)
    validate_every: int = job.setting(1000, "steps between validations", unit="steps", ge=1)
    validation_pairs: int = job.setting(2048, "most validation pairs of each set", unit="pairs", ge=2)
    crop: float = job.setting(0.6, "smallest share of the image's area that a crop keeps", gt=0, le=1)
    rotation: float = job.setting(
        10.0, "largest rotation; images are never mirrored: texts name sides", unit="degrees", ge=0
    )
    brightness: float = job.setting(0.2, "largest relative change of brightness, and of contrast", ge=0, lt=1)

    def check(self) -> None:
        """Whether processes divide the batch, and attention heads the text encoder's width."""
        job.Distributed.check(self)
        job.check_multiple(self, "text_hidden", self.text_heads, f"text_heads = {self.text_heads}")


class Inputs(job.Files):
    pairs: list[Path] = job.file("sets of pairs (Parquet)")
    pixels: list[Path] = job.file("their pixels, set by set (NumPy)")
    tokenizer: Path = job.file("tokenizer.json")
    tokenizer_config: Path = job.file("tokenizer_config.json")
    image_weights: Path | None = job.optional_file(
        "weights of the image encoder to start from (safetensors, torchvision's names)"
    )
    bert_config: Path | None = job.optional_file("config.json of a BERT to start from")
    bert_weights: Path | None = job.optional_file("model.safetensors of that BERT")


class Outputs(job.Files):
    image_encoder: Path = job.file("image encoder (safetensors, torchvision's names without fc)")
    image_config: Path = job.file("its architecture, image size, mean and standard deviation (JSON)")
    text_config: Path = job.file("text encoder: config.json")
    text_weights: Path = job.file("text encoder: model.safetensors")
    text_tokenizer: Path = job.file("text encoder: tokenizer.json")
    text_tokenizer_config: Path = job.file("text encoder: tokenizer_config.json")
    heads: Path = job.file("projection heads (safetensors)")
    heads_config: Path = job.file("what the heads need to be used (JSON)")
    curve: Path = job.file("losses by step (CSV)")
    curve_picture: Path = job.file("losses by step (PNG)")
    summary: Path = job.file("best step, its validation loss, pairs seen, settings (JSON)")


@dataclass(frozen=True)
class Method:
    """What a pre-training method adds to the trainer.

    Attributes:
        name: of the method.
        module: the job's module, whose code a saved state belongs to.
        build_heads: (settings, image channels by feature map, text width) -> module.
        losses_of: (heads, image features, text features, settings, group) -> losses of this process's samples among
            those of the group; the mean of "total" over processes is what is minimised.
        described: settings that whoever uses the heads later must know.
        before_update: (heads, share of the steps done, settings); may change gradients.
        after_update: (heads); may change weights.
    """

    name: str
    module: str
    build_heads: Callable[[Any, Any, int], Any]
    losses_of: Callable[[Any, Any, Any, Any, Any], dict[str, Any]]
    described: tuple[str, ...]
    before_update: Callable[[Any, float, Any], None] = lambda heads, share, settings: None
    after_update: Callable[[Any], None] = lambda heads: None


def pretrain(method: Method, settings: Training, inputs: Inputs, outputs: Outputs) -> None:
    """Train both encoders and write those of the best validation: of the last phase, if there are several.

    Raises JobError for sets of pairs that do not fit together, or a loss that is not finite.
    """
    from synvlp.encoders import batches, loop, network
    from synvlp.models import device, parallel

    group = parallel.join(settings)
    place = device.prepare(settings)
    pairs = batches.read(inputs.pairs, inputs.pixels, inputs.tokenizer, settings)
    model = group.join_norms(network.build(method, settings, inputs).to(place))
    scratch = job.Scratch(method.module, settings, inputs)
    result = loop.train(method, model, pairs, settings, place, scratch, group)
    if not group.first:
        return
    model.load_state_dict(result.best)
    _write_encoders(method, model, settings, inputs, outputs)
    _write_curve(method, result, batches.phase_ends(settings)[:-1], outputs)
    files.write_json(outputs.summary, _summary(method, pairs, result, settings))
    scratch.remove()


def _write_encoders(method: Method, model: Any, settings: Training, inputs: Inputs, outputs: Outputs) -> None:
    from synvlp.models import image_encoder, text_encoder
    from synvlp.store import weights

    weights.save(model.image.state_dict(), outputs.image_encoder)
    files.write_json(outputs.image_config, image_encoder.describe(settings.architecture, settings.image_size))
    text_encoder.save(model.text, outputs.text_config, outputs.text_weights)
    files.write_bytes(outputs.text_tokenizer, inputs.tokenizer.read_bytes())
    files.write_bytes(outputs.text_tokenizer_config, inputs.tokenizer_config.read_bytes())
    weights.save(model.heads.state_dict(), outputs.heads)
    used = ("length", "sentences", "last_layers", *method.described)
    known = {name: getattr(settings, name) for name in used}
    sizes = {"image_channels": model.image.channels, "text_hidden": model.text.config.hidden_size}
    files.write_json(outputs.heads_config, {"method": method.name, **sizes, **known})


def _write_curve(method: Method, result: Any, turns: list[int], outputs: Outputs) -> None:
    import pandas as pd

    curve = pd.DataFrame(result.curve, columns=list(tables.CURVE.columns)).sort_values(list(tables.CURVE.key))
    tables.write_csv(curve, outputs.curve)
    _draw_curve(curve, method.name, result.best_step, turns, outputs.curve_picture)


def _draw_curve(curve: Any, title: str, kept: int, turns: list[int], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="loss", title=title)
    losses = curve[curve.name == "total"]
    for phase, colour in (("training", "#9aa5b1"), ("validation", "#0b5fa5")):
        part = losses[losses.phase == phase]
        axes.plot(part.step, part.value, marker="o", markersize=3, color=colour, label=phase)
    axes.axvline(kept, color="#0b5fa5", linewidth=0.8, linestyle=":", label="kept")
    for number, turn in enumerate(turns):
        axes.axvline(turn, color="#222222", linewidth=0.8, label="" if number else "next phase")
    axes.legend(frameon=False)
    with files.replacing(path) as part:
        figure.savefig(part, dpi=120, metadata={"Software": None})


def _summary(method: Method, pairs: Any, result: Any, settings: Training) -> dict:
    return {
        "method": method.name,
        "best_step": result.best_step,
        "validation_loss": result.best_loss,
        "pairs_seen": settings.steps * settings.batch * settings.accumulate,
        "sets": pairs.describe(settings.steps * settings.batch * settings.accumulate),
        "settings": settings.model_dump(mode="json", exclude_none=True),
    }
