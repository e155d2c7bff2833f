"""What one job has to do, and how many bytes it writes: formulas, from its settings and the sizes of its data.

Work is counted in units that a rate turns into seconds: floating-point operations for networks, studies for tables.
Formulas are upper bounds where the settings allow a job to stop early, and leave out what is small beside the rest.
"""

import csv
import functools
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from synvlp import kinds
from synvlp.encoders.trainer import Training
from synvlp.generators import autoencoder, diffusion
from synvlp.store import files
from synvlp.study import Study, quality

RATES = files.read_json(Path(__file__).with_name("rates.json"))

# Where a collection names no splits, patients are split so (docs/data.md).
TRAIN, DRAWN = 0.7, 0.8
# Bytes of a diffusers pipeline of Stable Diffusion 1 or 2 in float32, and of one from scratch.
PIPELINE = {"stable_diffusion": 4.3e9, "scratch": 7e6}
# Bytes of a generator that trains in one job, by its kind; "" for kinds of which nothing is known.
ONE_PASS = {"vae": 3.4e6, "gan": 2.1e6, "": 3e6}
IMAGE_ENCODER = {"resnet18": 45e6, "resnet50": 94e6}
FEATURES = {"resnet18": 512, "resnet50": 2048}
# Published feature spaces: network of rates.json, and pixels a side of its input.
SPACES = {"inception": ("inception", 299), "xrv": ("densenet121", 224), "rad-dino": ("vit_b14", 518)}
# Bytes of an image's feature maps per pixel, in float32.
MAPS = {
    ("segment", "resnet18"): 94,
    ("segment", "resnet50"): 184,
    ("detect", "resnet18"): 14,
    ("detect", "resnet50"): 56,
}
# AdamW's two moments and the average beside the weights: a saved state is so many times as large.
STATE = 4


@dataclass(frozen=True)
class Count:
    """How many studies a corpus has, how many of them train, and how many texts get images (train and val)."""

    studies: float
    train: float
    drawn: float
    source: str


class Settings(Mapping):
    """The flags of a job's command by name, each a list of words."""

    def __init__(self, flags: str) -> None:
        self.words: dict[str, list[str]] = {}
        for word in shlex.split(flags):
            if word.startswith("--"):
                name = word[2:].replace("-", "_")
                self.words[name] = []
            elif self.words:
                self.words[name].append(word)

    def __getitem__(self, name: str) -> list[str]:
        return self.words[name]

    def __iter__(self) -> Any:
        return iter(self.words)

    def __len__(self) -> int:
        return len(self.words)

    def numbers(self, name: str) -> list[float]:
        return [float(word) for word in self.words.get(name, [])]

    def number(self, name: str, default: float = 1) -> float:
        return (self.numbers(name) or [default])[0]

    def is_set(self, name: str, *words: str) -> bool:
        return self.words.get(name) == list(words)


class Sizes:
    """What a study's formulas need to know about its data and networks."""

    def __init__(self, study: Study, given: Mapping[str, int] | None = None, root: Path = Path()) -> None:
        """`given`: studies by corpus, over all else; `root`: where results/ and the corpora's paths start."""
        self.study, self.given, self.root = study, given or {}, root
        self.corpus = functools.cache(self._corpus)

    def _corpus(self, name: str) -> Count:
        """A corpus's studies: counted in the results, given, counted in its manifest, or assumed, in this order."""
        if name in self.study.parts.concepts.written:
            return self._written(name)
        part = self.study.parts.corpora[name]
        made = self.root / "results" / self.study.name / "corpora" / name / "studies.parquet"
        if name in self.given:
            count = self.given[name]
            return Count(count, count * TRAIN, count * DRAWN, "given; split 70/10/20")
        if made.is_file():
            splits = pq.read_table(made, columns=["split"])["split"].to_pylist()
            return _counted(splits, "counted in the results")
        if part.kind == "phantom":
            count = part.patients * (1 + part.max_studies) / 2
            return Count(count, count * TRAIN, count * DRAWN, "patients × mean number of studies")
        listing = Path(part.index or "") if part.kind == "iu" else Path(part.path)
        if (self.root / listing).is_file():
            with (self.root / listing).open(encoding="utf-8-sig", newline="") as file:
                rows = [row.get("split") or "" for row in csv.DictReader(file)]
            return _counted(rows, f"rows of {listing.name}")
        known = RATES["studies"]
        count = known.get(name, known[""])
        source = "docs/data.md, all for training" if name in known else "a guess, all for training"
        return Count(count, count, count, source)

    def _written(self, name: str) -> Count:
        """At most as many written reports as sets of concepts are drawn; none of them tests."""
        part = self.study.parts.concepts.written[name]
        count = self.given.get(name, part.sampling.count)
        return Count(count, count * (1 - part.audit.val_share), count, "given" if name in self.given else "sets drawn")

    def dataset(self, name: str) -> Count:
        """At most the studies of the corpus that a data set is made from."""
        return self.corpus(self.study.parts.tasks.datasets[self.study.base(name)].corpus)

    def dataset_side(self, name: str) -> int:
        return self.study.parts.tasks.datasets[self.study.base(name)].image_size

    def architecture(self, method: str) -> str:
        part = self.study.parts.encoders
        default = Training.model_fields["architecture"].default
        return {**part.pretrain, **getattr(part, method, {})}.get("architecture", default)

    def generator(self, name: str) -> tuple[str, float, float]:
        """A generator's network, the side of its images in pixels, and its size relative to the default one."""
        part = self.study.parts.generators[name]
        if part.kind == "finetuned":
            return "stable_diffusion", part.finetune_diffusion.image_size, 1
        if part.kind == "published":
            config = Path(part.adopt_pipeline.pipeline_folder) / "unet/config.json"
            side = files.read_json(self.root / config)["sample_size"] * 8 if (self.root / config).is_file() else 512
            return "stable_diffusion", side, 1
        if part.kind in kinds.trained():
            return part.kind, *_one_pass(getattr(part, f"train_{part.kind}"))
        chosen, default = part.train_diffusion, diffusion.Settings.model_fields["channels"].default
        return "scratch", chosen.image_size, levels(chosen.channels) / levels(default)


def _one_pass(chosen: Any) -> tuple[float, float]:
    """Side of the images, and size relative to the default one, of a generator's settings, as far as they say."""
    default = type(chosen).model_fields["channels"].default if hasattr(chosen, "channels") else None
    scale = levels(chosen.channels) / levels(default) if default else 1
    return getattr(chosen, "image_size", 64), scale


def levels(channels: list[float]) -> float:
    """How a convolutional network's work grows with its channels, if each level halves the sides."""
    return sum(width**2 / 4**level for level, width in enumerate(channels))


DECODER = levels([16, 32, 64, 128, 256])


def forward(network: str, side: float, scale: float = 1) -> float:
    """TFLOP of one image of `side` pixels through a network of rates.json."""
    known = RATES["networks"].get(network) or RATES["networks"]["one pass"]
    return scale * known["gflop"] / 1000 * (side / known["side"]) ** 2


def reading(layers: float, width: float, tokens: float) -> float:
    """TFLOP of one text through a transformer: projections, attention and a feed-forward part four times as wide."""
    return layers * (24 * tokens * width**2 + 4 * tokens**2 * width) / 1e12


def studies(job: Any, settings: Settings, sizes: Sizes) -> float:
    """All studies of the corpus, or of those whose texts are read."""
    if "dataset" in job.wildcards:
        return sizes.dataset(job.wildcards["dataset"]).studies
    if "pair_set" in job.wildcards:
        return sizes.corpus(sizes.study.parts.pair_sets[job.wildcards["pair_set"]].corpus).drawn
    if "generator" in job.wildcards:
        return sizes.corpus(sizes.study.parts.generators[job.wildcards["generator"]].corpus).drawn
    if "written" in job.wildcards:
        return sizes.corpus(job.wildcards["written"]).studies
    names = [job.wildcards["corpus"]] if "corpus" in job.wildcards else sizes.study.text_corpora()
    return sum(sizes.corpus(name).studies for name in names)


def passed(settings: Settings) -> float:
    """Samples that a training job passes through its network."""
    return settings.number("steps") * settings.number("batch") * settings.number("accumulation", 1)


def autoencoder_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    scale = levels(settings.numbers("channels")) / levels(autoencoder.Settings.model_fields["channels"].default)
    side = settings.number("image_size")
    once = forward("scratch encoder", side, scale) + forward("scratch decoder", side, scale)
    return passed(settings) * 3 * once


def writer_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    """Texts that a small language model learns from, forwards and backwards."""
    once = reading(settings.number("layers"), settings.number("width"), settings.number("tokens"))
    return passed(settings) * 3 * once


def diffusion_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    network, _, scale = sizes.generator(job.wildcards["generator"])
    side = settings.number("image_size")
    return passed(settings) * (3 * forward(network, side, scale) + forward(f"{network} encoder", side))


def one_pass_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    network, side, scale = sizes.generator(job.wildcards["generator"])
    return passed(settings) * forward(f"{network} training", side, scale)


def drawing_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    network, side, scale = sizes.generator(job.wildcards["generator"])
    side = settings.number("size", side)
    if network in kinds.trained():
        return drawn(job, settings, sizes) * forward(network, side, scale)
    passes = settings.number("steps") * (2 if settings.number("guidance") > 1 else 1)
    once = passes * forward(network, side, scale) + forward(f"{network} decoder", side)
    return drawn(job, settings, sizes) * once


def drawn(job: Any, settings: Settings, sizes: Sizes) -> float:
    """Images that one shard holds, or all of them together."""
    shards = settings.number("shards", sizes.study.parts.images.shards) if "shard" in job.wildcards else 1
    return sizes.corpus(job.wildcards["corpus"]).drawn * settings.number("copies", 1) / shards


def screening_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    count = drawn(job, settings, sizes)
    decoding = count / 500 * RATES["rules"]["screen"]["rate"]
    return decoding + 2 * count**2 * settings.number("compare_size", 32) ** 2 / 1e12


def pretraining_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    layers = settings.number("text_layers", 12)
    image = forward(settings["architecture"][0], settings.number("image_size"))
    text = reading(layers, settings.number("text_hidden", 768), settings.number("length", 128))
    frozen = settings.number("frozen_text_layers", 0) / layers
    pairs = settings.number("steps") * settings.number("batch") * settings.number("accumulate", 1)
    return pairs * (3 * image + (3 - 2 * frozen) * text)


def judging_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    """Images that the judges' networks learn from at every step, copies that are made of images, and images read."""
    count = sizes.corpus(job.wildcards["corpus"])
    copies = min(settings.number("learn_from"), count.train) * settings.number("variants") * 11 / 6
    area = (settings.number("image_size") / 64) ** 2
    return passed(settings) * settings.number("folds") * area + copies + count.studies


def encoding_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    name = job.wildcards["dataset"]
    network = forward(sizes.architecture(job.wildcards["method"]), sizes.dataset_side(name))
    return sizes.dataset(name).studies * network


def asking_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    """Images of the validation and test splits through the encoder, once; prompts are few beside them."""
    name = job.wildcards["dataset"]
    side = settings.number("image_size", 0) or sizes.dataset_side(name)
    return sizes.dataset(name).studies * (1 - TRAIN) * forward(sizes.architecture(job.wildcards["method"]), side)


def dense_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    """Heads at every fraction and seed; the encoder's maps once if they are kept, else at every step."""
    name, side = job.wildcards["dataset"], sizes.dataset_side(job.wildcards["dataset"])
    architecture = sizes.architecture(job.wildcards["method"])
    count, encoder = sizes.dataset(name), forward(architecture, side)
    if job.rule == "segment":
        head = forward(
            f"unet_decoder {architecture}", side, levels(settings.numbers("decoder_channels")[::-1]) / DECODER
        )
    else:
        head = forward("yolo_head", side, (settings.number("width", 512) / 512) ** 2)
    seen = sum(
        settings.number("epochs", 0) * fraction * count.train or settings.number("steps") * settings.number("batch")
        for fraction in settings.numbers("fractions")
    ) * len(settings["seeds"])
    tuned = settings.is_set("encoder", "tuned")
    size = MAPS[job.rule, architecture] * side**2 * count.studies
    kept = not tuned and settings.is_set("augment", "false") and size <= settings.number("cache_gb", 2) * 1e9
    return seen * (3 * head + (3 if tuned else 0 if kept else 1) * encoder) + count.studies * encoder


def probing_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    passes = settings.number("epochs") if settings.is_set("probe", "adamw") else len(settings["grid"])
    train = sizes.dataset(job.wildcards["dataset"]).train
    return train * sum(settings.numbers("fractions")) * len(settings["seeds"]) * passes


def embedding_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    """All images of a corpus, or those that a generator drew, through the space's network."""
    corpus, space = sizes.corpus(job.wildcards["corpus"]), job.wildcards["space"]
    count = corpus.studies if job.wildcards["generator"] == quality.REAL else corpus.drawn
    if space in SPACES:
        network, side = SPACES[space]
        return count * forward(network, side)
    side = sizes.study.parts.encoders.pretrain.get("image_size", Training.model_fields["image_size"].default)
    return count * forward(sizes.architecture(sizes.study.quality.encoder("").split("/")[2]), side)


def repeating_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    """Several images of the chosen prompts, at the cost of drawing one image for each study of the corpus."""
    part = sizes.study.parts.images.quality
    whole = drawing_work(job, settings, sizes) / max(drawn(job, settings, sizes), 1)
    return part.select_repeats.count * part.images_per_prompt * whole


def searching_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    """Distances of drawn and held-out images to all real ones, in every space."""
    part = sizes.study.parts.images.quality
    corpus = sizes.corpus(sizes.study.quality.real_corpus(job.wildcards["generator"], job.wildcards["corpus"]))
    asked = sizes.corpus(job.wildcards["corpus"]).drawn + corpus.studies - corpus.train
    return len(part.spaces) * asked * corpus.studies


def comparing_work(job: Any, settings: Settings, sizes: Sizes) -> float:
    tested = sum(sizes.dataset(name).studies * (1 - DRAWN) for name in settings.get("datasets", []))
    return settings.number("resamples") * tested


def one(job: Any, settings: Settings, sizes: Sizes) -> float:
    return 1


# Rule -> its work in the unit that rates.json names; rules that are not here count as one.
WORK: dict[str, Callable[[Any, Settings, Sizes], float]] = {
    **dict.fromkeys(
        (
            "draw_phantoms",
            "read_manifest",
            "read_iu",
            "anonymize",
            "measure_anonymization",
            "split_sections",
            "write_prompts",
            "extract_concepts",
            "measure_extraction",
            "sample_concepts",
            "write_reports",
            "audit_reports",
            "train_tokenizer",
            "select_pairs",
            "partition",
            "select_repeats",
            "corrupt_corpus",
            "judge_pairs",
            "find_duplicates",
            "curate",
            "build_pairs",
            "build_classification_set",
            "build_segmentation_set",
            "build_detection_set",
            "build_retrieval_set",
        ),
        studies,
    ),
    "train_writer": writer_work,
    "train_autoencoder": autoencoder_work,
    "train_diffusion": diffusion_work,
    "finetune_diffusion": diffusion_work,
    "train_generator": one_pass_work,
    "synthesize": drawing_work,
    "screen": screening_work,
    "embed_images": embedding_work,
    "draw_repeats": repeating_work,
    "measure_memorization": searching_work,
    "judge_images": judging_work,
    "pretrain": pretraining_work,
    "encode": encoding_work,
    "align": asking_work,
    "ground": asking_work,
    "segment": dense_work,
    "detect": dense_work,
    "classify": probing_work,
    "compare": comparing_work,
    "draw_scaling": comparing_work,
}


def work(job: Any, settings: Settings, sizes: Sizes) -> float:
    """A job's work with these settings, in its rule's unit."""
    return WORK.get(job.rule, one)(job, settings, sizes)


def written(job: Any, settings: Settings, sizes: Sizes) -> float:
    """Bytes that a job leaves in the results: images, arrays and weights; tables of text are left out."""
    png = RATES["png_bytes_per_pixel"]
    names = job.wildcards
    if job.rule in {"draw_phantoms", "read_manifest"}:
        return studies(job, settings, sizes) * settings.number("image_size") ** 2 * png
    if job.rule in {"synthesize", "screen"}:
        side = settings.number("size", sizes.generator(names["generator"])[1])
        return drawn(job, settings, sizes) * side**2 * png
    if job.rule in {"train_diffusion", "finetune_diffusion", "adopt_pipeline"}:
        network, _, scale = sizes.generator(names["generator"])
        return PIPELINE[network] * scale
    if job.rule == "train_generator":
        network, _, scale = sizes.generator(names["generator"])
        return ONE_PASS.get(network, ONE_PASS[""]) * scale
    if job.rule == "build_pairs":
        return studies(job, settings, sizes) * settings.number("image_size") ** 2
    if job.rule == "pretrain":
        return weights(job, settings, sizes)
    if job.rule == "init_encoder":
        return IMAGE_ENCODER[settings["architecture"][0]]
    if job.rule == "encode":
        return sizes.dataset(names["dataset"]).studies * FEATURES[sizes.architecture(names["method"])] * 4
    if job.rule.startswith("build_"):
        masks = len(settings.get("categories", [])) if job.rule == "build_segmentation_set" else 0
        return sizes.dataset(names["dataset"]).studies * sizes.dataset_side(names["dataset"]) ** 2 * (1 + masks)
    return 0


def weights(job: Any, settings: Settings, sizes: Sizes) -> float:
    """Bytes of an image encoder and a text encoder in float32."""
    width, layers = settings.number("text_hidden", 768), settings.number("text_layers", 12)
    words = 30_000 if sizes.study.parts.encoders.text_folder else 8192
    return IMAGE_ENCODER[settings["architecture"][0]] + 4 * (12 * width**2 * layers + (words + 512) * width)


def state(job: Any, settings: Settings, sizes: Sizes) -> float:
    """Bytes of the state that a training job saves in the scratch folder while it runs."""
    trains = {"train_diffusion", "finetune_diffusion", "train_generator", "pretrain"}
    return STATE * written(job, settings, sizes) if job.rule in trains else 0


def _counted(splits: list[str], source: str) -> Count:
    total = len(splits)
    if not any(splits):
        return Count(total, total * TRAIN, total * DRAWN, f"{source}; split 70/10/20")
    train = sum(split == "train" for split in splits)
    return Count(total, train, total - sum(split == "test" for split in splits), source)
