"""What a study says about the quality of synthetic images: which sets are measured, with what, and what must not be."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SPACES = ("random", "real", "inception", "xrv", "rad-dino")
REAL = "real"  # in place of a generator: a corpus's own images
FOLDER = "<results>/images/{generator}/{corpus}/quality"


class Quality:
    """The answers that rules need from the sections `images.quality` and `reports.keep_markers` of a checked config."""

    def __init__(self, study: Any) -> None:
        self.study, self.part = study, study.parts.images.quality

    def sets(self) -> list[dict[str, str]]:
        """The sets of synthetic images that are measured, as wildcards: those that sources need, and those named."""
        if not self.part.measure:
            return []
        found = {(item["generator"], item["corpus"]) for item in self.study.image_sets()}
        found |= {(item.generator, item.corpus) for item in self.part.image_sets}
        return [{"generator": generator, "corpus": corpus} for generator, corpus in sorted(found)]

    def files(self, name: str) -> list[str]:
        """A file of every set's folder of quality."""
        return [f"{FOLDER.format(**item)}/{name}" for item in self.sets()]

    def shown(self) -> dict[str, str]:
        """Title -> picture of the closest pairs of each set."""
        return {
            f"Closest to training images: {item['generator']}, prompts of {item['corpus']}": path
            for item, path in zip(self.sets(), self.files("pairs.png"), strict=True)
        }

    def tables(self, *endings: str) -> list[str]:
        """The study's table and figure of quality, if anything is measured."""
        return [f"<results>/tables/quality.{ending}" for ending in endings] if self.sets() else []

    def corpora(self) -> set[str]:
        """The corpora whose prompts are measured; sets of texts that belong to no corpus are left out."""
        return {item["corpus"] for item in self.sets()} & set(self.study.parts.corpora)

    def names(self) -> str:
        """A regular expression of all sets of prompts and corpora that something is measured of."""
        found = {item["corpus"] for item in self.sets()} | {self.real_corpus(**item) for item in self.sets()}
        return "|".join(map(re.escape, sorted(found))) or "(?!)"

    def prompts(self, w: Any) -> str:
        """For rules: the prompts that images were drawn for, of a corpus's reports or of written ones."""
        stage = "reports" if w.corpus in self.study.parts.corpora else "concepts"
        return f"<results>/{stage}/{w.corpus}/prompts.parquet"

    def prompt_studies(self, w: Any) -> str | list:
        """For rules: the studies whose reports the prompts come from; none of texts that belong to no corpus."""
        return f"<results>/corpora/{w.corpus}/studies.parquet" if w.corpus in self.study.parts.corpora else []

    def real(self, path: str) -> Callable[[Any], str]:
        """For rules: a file of the corpus that a generator learned from; of a published one, of the prompts' corpus."""
        return lambda w: path.format(corpus=self.real_corpus(w.generator, w.corpus))

    def real_corpus(self, generator: str, corpus: str) -> str:
        return getattr(self.study.parts.generators[generator], "corpus", corpus)

    def images(self, w: Any) -> str:
        """For the rule that embeds: a corpus's own images, or a generator's."""
        if w.generator == REAL:
            return f"<results>/corpora/{w.corpus}/images.parquet"
        return f"<results>/images/{w.generator}/{w.corpus}/images.parquet"

    def features(self, w: Any) -> dict[str, list[str]]:
        """For rules: the features of real and synthetic images in every space."""
        made = "<results>/images/{}/{}/features/{}.parquet"
        corpus = self.real_corpus(w.generator, w.corpus)
        return {
            "real": [made.format(REAL, corpus, space) for space in self.part.spaces],
            "synthetic": [made.format(w.generator, w.corpus, space) for space in self.part.spaces],
        }

    def network(self, name: str) -> Callable[[Any], str | list]:
        """For the rule that embeds: a file of the space's network, "weights", "config" or "preprocessor"."""
        return lambda w: self.networks(w.space).get(name, [])

    def networks(self, space: str) -> dict[str, str]:
        """The files of a space's network; a preprocessor is named where there is one."""
        if space in ("random", REAL):
            names = {"weights": "image_encoder.safetensors", "config": "image_encoder.json"}
            return {key: self.encoder(name, space) for key, name in names.items()}
        if space != "rad-dino":
            return {"weights": getattr(self.part, f"{space}_weights")}
        names = {"weights": "model.safetensors", "config": "config.json", "preprocessor": "preprocessor_config.json"}
        folder = Path(self.part.rad_dino_folder)
        return {
            key: str(folder / name) for key, name in names.items() if key != "preprocessor" or (folder / name).is_file()
        }

    def encoder(self, name: str, space: str = REAL) -> str:
        """A file of the encoder that was pre-trained on real pairs, or of the random one."""
        part = self.study.parts.encoders
        # Rules ask for it even where nothing is measured, and a study of baselines alone has no method.
        method = self.part.encoder or next(iter(part.methods), "none")
        run = f"{method}/{self.part.source}" if space == REAL else "random/none"
        return f"<results>/encoders/{run}/seed-{part.seeds[0]}/{name}"

    def from_outside(self) -> list[str]:
        """The files of published networks that the study reads."""
        spaces = [space for space in self.part.spaces if space not in ("random", REAL)] if self.sets() else []
        return [path for space in spaces for path in self.networks(space).values()]

    def wanted(self) -> list[tuple[str, str, Mapping]]:
        """Key, name and what there is, of every name that the sections refer to."""
        parts, found = self.study.parts, []
        texts = {**parts.corpora, **parts.concepts.written}  # whatever has prompts can be drawn and measured
        for place, item in enumerate(self.part.image_sets):
            key = f"images.quality.image_sets.{place}"
            found += [
                (f"{key}.generator", item.generator, parts.generators),
                (f"{key}.corpus", item.corpus, texts),
            ]
        found += [("reports.keep_markers", name, parts.corpora) for name in parts.reports.keep_markers]
        if self.part.measure:
            found.append(("images.quality.source", self.part.source, parts.sources))
        return found

    def problems(self) -> list[str]:
        """What is wrong beside names: weights that are missing, texts with marks where they must not be."""
        return [*self._missing(), *self._marked()] if self.part.measure else self._marked()

    def _missing(self) -> list[str]:
        part, encoders = self.part, self.study.parts.encoders
        needs = {"inception": "inception_weights", "xrv": "xrv_weights", "rad-dino": "rad_dino_folder"}
        found = [
            f"images.quality.spaces: '{space}' needs images.quality.{needs[space]}"
            for space in part.spaces
            if space in needs and not getattr(part, needs[space])
        ]
        if part.encoder and part.encoder not in encoders.methods:
            found.append(f"images.quality.encoder: '{part.encoder}' is not among encoders.methods")
        if not part.encoder and not encoders.methods:
            found.append("images.quality: an encoder is needed that is pre-trained here; name one in encoders.methods")
        if REAL in self.study.parts.generators:
            found.append(f"generators.{REAL}: this name stands for a corpus's own images; choose another one")
        return found

    def _marked(self) -> list[str]:
        """Corpora in whose texts marks were left train generators that are measured, and nothing else."""
        parts = self.study.parts
        marked = set(parts.reports.keep_markers)
        learned = {name for name, part in parts.generators.items() if getattr(part, "corpus", None) in marked}
        uses = [(f"pair_sets.{key}.corpus", part.corpus, marked) for key, part in parts.pair_sets.items()]
        uses += [(f"pair_sets.{key}.generator", part.generator, learned) for key, part in parts.pair_sets.items()]
        uses += [
            (f"tasks.datasets.{key}.corpus", getattr(part, "corpus", None), marked)
            for key, part in parts.tasks.datasets.items()
        ]
        return [
            f"{key}: '{name}' has texts with marks of a de-identification (reports.keep_markers), or learned from "
            "such; it serves the measures of images.quality alone"
            for key, name, forbidden in uses
            if name in forbidden
        ]


def fidelity(study: Any, w: Any) -> dict[str, Any]:
    return {**_of(study, "measure_fidelity"), "spaces": study.parts.images.quality.spaces}


def memorization(study: Any, w: Any) -> dict[str, Any]:
    return {**_of(study, "measure_memorization"), "spaces": study.parts.images.quality.spaces}


def embedding(study: Any, w: Any) -> dict[str, Any]:
    return {**_of(study, "embed_images"), "space": w.space}


def tabulated(study: Any, w: Any) -> dict[str, Any]:
    sets = study.quality.sets()
    return {name: [item[key] for item in sets] for name, key in (("generators", "generator"), ("corpora", "corpus"))}


def plainly(name: str) -> Callable[[Any, Any], dict[str, Any]]:
    """The settings of a job that the workflow gives nothing."""
    return lambda study, w: _of(study, name)


def _of(study: Any, name: str) -> dict[str, Any]:
    return getattr(study.parts.images.quality, name).model_dump()
