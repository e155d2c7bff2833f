"""What the parts of a config ask of each other: names that must exist, and settings that must fit together."""

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from synvlp import registry
from synvlp.job import Settings
from synvlp.study import sources
from synvlp.study.problems import StudyError, explain, listed, nearest
from synvlp.study.sections import PRETRAINING, TASKS, TRAINED, options

if TYPE_CHECKING:
    from synvlp.study.checked import Study

# The demo's key, which is in git: known by its place, and by its content wherever it lies.
DEMO_KEY, DEMO_KEY_SHA256 = "studies/demo.key", "2aeae9a32859c4d41e6f1327e93b3cb651a026967a6530bfcec70489169b4ec8"
NEW_KEY = "python3 -c 'import secrets; print(secrets.token_hex(32))' > FILE"

Wanted = tuple[str, str, Collection[str]]  # a key, the name that it refers to, and the names that there are


def check(study: "Study") -> None:
    """Raise StudyError with every problem of names and of what must fit, or with every wrong setting of a method."""
    for problems in (_misnamed(study) + _unfit(study), _wrong_settings(study)):
        if problems:
            raise StudyError(listed(problems))


def _misnamed(study: "Study") -> list[str]:
    """Names that parts of the config refer to and that do not exist."""
    return [
        f"{key}: there is no '{name}'; there are: {', '.join(known) or 'none'}{nearest(name, known)}"
        for key, name, known in [
            *_wanted_by_pairs(study),
            *_wanted_by_encoders(study),
            *_wanted_by_tables(study),
            *_wanted_by_tasks(study),
            *study.quality.wanted(),
        ]
        if name not in known
    ]


def _wanted_by_pairs(study: "Study") -> Iterator[Wanted]:
    """What reports, written sets, generators and sets of pairs refer to."""
    parts = study.parts
    texts = {**parts.corpora, **parts.concepts.written}
    for key, part in parts.pair_sets.items():
        yield f"pair_sets.{key}.corpus", part.corpus, texts
        if part.generator:
            yield f"pair_sets.{key}.generator", part.generator, parts.generators
    for key, part in parts.concepts.written.items():
        yield f"concepts.written.{key}.corpus", part.corpus, parts.corpora
    for key, part in parts.generators.items():
        if hasattr(part, "corpus"):
            yield f"generators.{key}.corpus", part.corpus, parts.corpora
    for name in parts.reports.published:
        yield "reports.published", name, parts.corpora
    for name in parts.concepts.corpora:
        yield "concepts.corpora", name, parts.corpora


def _wanted_by_encoders(study: "Study") -> Iterator[Wanted]:
    """What sources draw from, and the methods that are for some of them."""
    parts = study.parts
    for key in parts.sources:
        for name in study.sets_of(key):
            yield f"sources.{key}", name, parts.pair_sets
    for key, methods in parts.encoders.only.items():
        yield f"encoders.only.{key}", key, parts.sources
        for method in methods:
            yield f"encoders.only.{key}", method, parts.encoders.methods


def _wanted_by_tables(study: "Study") -> Iterator[Wanted]:
    """The sources and the baseline that are compared; without baselines there is none, whatever the name."""
    parts, tables = study.parts, study.parts.tables
    yield "tables.compare.reference", tables.compare.reference, parts.sources
    if parts.encoders.baselines:
        yield "tables.compare.baseline", tables.compare.baseline, parts.encoders.baselines
    for key, members in tables.ablations.items():
        for name in members:
            yield f"tables.ablations.{key}", name, parts.sources
    for name in tables.draw_scaling.sources:
        yield "tables.draw_scaling.sources", name, parts.sources
    if tables.draw_scaling.sources:
        yield "tables.draw_scaling.reference", tables.draw_scaling.reference, parts.sources


def _wanted_by_tasks(study: "Study") -> Iterator[Wanted]:
    """The corpora of data sets, and the data sets that tasks without training use."""
    for key, part in study.parts.tasks.datasets.items():
        if hasattr(part, "corpus"):
            yield f"tasks.datasets.{key}.corpus", part.corpus, study.parts.corpora
        if hasattr(part, "of"):
            known = [name for kind in registry.tasks()[part.task].of for name in study.datasets(kind)]
            yield f"tasks.datasets.{key}.of", part.of, known


def _unfit(study: "Study") -> list[str]:
    """Parts of the config that are right alone and cannot stand together."""
    return [
        *_unfit_ablations(study),
        *_unfit_written(study),
        *_unfit_encoders(study),
        *_key_problems(study),
        *study.quality.problems(),
        *study.curation.problems(),
        *_unlike_autoencoders(study),
    ]


def _unfit_ablations(study: "Study") -> list[str]:
    ablations = study.parts.tables.ablations
    twice = [
        f"tables.ablations.{key}: a source is named twice in {', '.join(members)}"
        for key, members in ablations.items()
        if len(set(members)) < len(members)
    ]
    apart = [
        f"tables.ablations.{key}: {first} and {other} have no method in common (see encoders.only)"
        for key, first, other in sources.without_method(ablations, study.methods_of)
    ]
    return twice + apart


def _unfit_written(study: "Study") -> list[str]:
    """Sets of written reports have names of their own, and no images but those that a generator draws."""
    parts = study.parts
    names = [
        f"concepts.written.{name}: a corpus has this name; give the set of written reports another one"
        for name in study.written()
        if name in parts.corpora
    ]
    images = [
        f"pair_sets.{key}: {part.corpus} is a set of written reports, which has no images of its own; name the "
        "generator that draws them"
        for key, part in parts.pair_sets.items()
        if part.corpus in parts.concepts.written and not part.generator
    ]
    return names + images


def _unfit_encoders(study: "Study") -> list[str]:
    part = study.parts.encoders
    found = []
    if not part.methods and not part.baselines:
        found.append("encoders.methods: []: neither it nor encoders.baselines names an encoder; name at least one")
    found += [] if part.methods else _without_method(study)
    if "imagenet" in part.baselines and not part.imagenet_weights:
        found.append("encoders.baselines: 'imagenet' needs encoders.imagenet_weights")
    return found + [
        f"encoders.{key}: {values!r}: one is named twice"
        for key, values in (("methods", part.methods), ("seeds", part.seeds))
        if len(set(values)) < len(values)
    ]


def _key_problems(study: "Study") -> list[str]:
    """The demo's key must not stand in for the secret of real reports, unless these are public already."""
    part = study.parts.reports
    real = [
        name for name, corpus in study.parts.corpora.items() if corpus.kind != "phantom" and name not in part.published
    ]
    if not real or not _is_demo_key(Path(part.key_file)):
        return []
    return [
        f"reports.key_file: {part.key_file} is the demo's key, with which everyone can undo the dates of reports; "
        f"for {', '.join(real)} make your own outside of git, and name it here (docs/data.md): {NEW_KEY}; "
        "or list in reports.published the corpora whose texts are public already"
    ]


def _without_method(study: "Study") -> list[str]:
    """What encoders without pre-training cannot do: they have no text side, and no number of pairs."""
    asking = [(name, task) for task in study.tasks() if task not in TRAINED for name in study.datasets(task)]
    found = [f"tasks.datasets.{name}: {task} asks encoders that are pre-trained" for name, task in asking]
    if study.parts.tables.draw_scaling.sources:
        found.append("tables.draw_scaling.sources: the curve is of encoders that are pre-trained")
    return [f"{problem}; name a method in encoders.methods" for problem in found]


def _unlike_autoencoders(study: "Study") -> list[str]:
    """Generators whose U-Net cannot shrink the latents that their autoencoder makes of their images."""
    found = []
    for name, part in study.parts.generators.items():
        if part.kind != "diffusion":
            continue
        unet, levels = part.train_diffusion, [part.train_autoencoder.channels, part.train_diffusion.channels]
        shrinks = 2 ** (sum(map(len, levels)) - 2)
        if unet.image_size % shrinks:
            found.append(
                f"generators.{name}.train_diffusion.image_size: {unet.image_size}: is not a multiple of {shrinks}, "
                f"by which {len(levels[0])} levels of the autoencoder and {len(levels[1])} of the U-Net shrink it"
            )
    return found


def _wrong_settings(study: "Study") -> list[str]:
    """Shared settings of pre-training and overrides of data sets, checked against their jobs."""
    problems = []
    for key, section, values in _loose_sections(study):
        try:
            section(**values)
        except ValidationError as error:
            problems.append(explain(error, values, key, bare=True))
    return problems


def _loose_sections(study: "Study") -> list[tuple[str, type[Settings], dict]]:
    part = study.parts.encoders
    found = [
        (
            f"encoders.{method}",
            options(f"encoders.{method}", *PRETRAINING),
            {**part.pretrain, **getattr(part, method)},
        )
        for method in part.methods
    ]
    for name, dataset in study.parts.tasks.datasets.items():
        section, untrained = TASKS[dataset.task], registry.tasks().get(dataset.task)
        values = {**getattr(study.parts.tasks, section).model_dump(), **dataset.override}
        job = options(f"tasks.{section}", *untrained.given) if untrained else options(f"tasks.{dataset.task}")
        found.append((f"tasks.datasets.{name}.override", job, values))
    return found


def _is_demo_key(path: Path) -> bool:
    """Whether a key is the demo's: by its place, or by its content under another name."""
    if Path(os.path.normpath(path)).parts[-2:] == Path(DEMO_KEY).parts:
        return True
    try:
        if not path.is_file() or path.stat().st_size > 4096:  # a pipe can be read only once
            return False
        return hashlib.sha256(path.read_bytes().strip()).hexdigest() == DEMO_KEY_SHA256
    except OSError:
        return False
