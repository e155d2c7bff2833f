"""A small vocabulary, real reports that mention its concepts, and sets to write reports from."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from synvlp.concepts import writing
from synvlp.concepts.vocabulary import Concept, closed
from synvlp.store import tables

WORDS = {
    "abnormality": {
        "cardiomegaly": ("enlarged heart",),
        "pleural effusion": ("effusion", "pleural fluid"),
        "atelectasis": ("volume loss",),
        "lung nodule": ("pulmonary nodule",),
        "rib fracture": ("fractured rib",),
        "scoliosis": ("curvature of spine",),
    },
    "disease": {"pneumonia": ("pulmonary infection",), "emphysema": ()},
    "non-abnormality": {"normal heart size": ("heart size * normal",), "sharp costophrenic angles": ()},
    "anatomy": {"left lung": ("left hemithorax",), "right lung": ("right hemithorax",), "spine": ("thoracic spine",)},
}
EXCLUDES = {"cardiomegaly": ("normal heart size",), "pleural effusion": ("sharp costophrenic angles",)}


def made(words: dict[str, dict[str, tuple]], excludes: dict[str, tuple]) -> dict[str, Concept]:
    concepts = [
        Concept(name, kind, synonyms, f"What {name} means.", "the tests", excludes.get(name, ()))
        for kind, named in words.items()
        for name, synonyms in named.items()
    ]
    return {concept.name: concept for concept in closed(concepts)}


@pytest.fixture(scope="session")
def vocabulary() -> dict[str, Concept]:
    return made(WORDS, EXCLUDES)


@pytest.fixture(scope="session")
def vocabulary_file(vocabulary: dict[str, Concept], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.parquet"
    rows = [
        (one.name, one.kind, list(one.synonyms), one.definition, one.origin, list(one.excludes))
        for one in vocabulary.values()
    ]
    tables.write(pd.DataFrame(rows, columns=list(tables.VOCABULARY.columns)), path, tables.VOCABULARY)
    return path


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scratch folder of the test's own."""
    monkeypatch.setenv("SYNVLP_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


@pytest.fixture
def inputs(vocabulary_file: Path, tmp_path: Path) -> Callable[..., writing.Inputs]:
    """A writer's inputs for sets of concepts."""

    def make(sets: Sequence[Sequence[str]], model: Sequence[Path] = ()) -> writing.Inputs:
        path = tmp_path / "sets.parquet"
        ids = [f"written-{number:06d}" for number in range(1, len(sets) + 1)]
        tables.write(pd.DataFrame({"study_id": ids, "concepts": [list(names) for names in sets]}), path, tables.SETS)
        return writing.Inputs(sets=path, vocabulary=vocabulary_file, model_files=list(model))

    return make


@pytest.fixture
def outputs(tmp_path: Path) -> writing.Outputs:
    return writing.Outputs(reports=tmp_path / "reports.parquet", rejected=tmp_path / "rejected.csv")


@pytest.fixture
def request_of(vocabulary: dict[str, Concept]) -> Callable[..., writing.Request]:
    """A request for these concepts."""

    def make(*names: str, study_id: str = "written-000001", **more: object) -> writing.Request:
        return writing.Request(study_id, tuple(vocabulary[name] for name in names), **more)

    return make


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tables of a corpus of short reports with known concepts: studies, sections, mentions."""
    kinds = {name: kind for kind, named in WORDS.items() for name in named}
    reports = [
        ["cardiomegaly", "left lung"],
        ["pleural effusion", "cardiomegaly"],
        ["atelectasis", "left lung", "right lung"],
        ["normal heart size"],
    ]
    folder = tmp_path_factory.mktemp("corpus")
    studies, sections, mentions = [], [], []
    for number in range(60):
        study_id, names = f"s{number:03d}", reports[number % 7 % 4]
        split = "train" if number < 42 else "val" if number < 52 else "test"
        studies.append((study_id, f"p{number}", "", split, "PA", "", 50.0, [], False, True, True, "report"))
        said = " ".join(f"{name.capitalize()} seen." for name in names)
        sections.append((study_id, "", "", "", said, f"{names[0].capitalize()}.", ""))
        for place, name in enumerate(names):
            mentions.append((study_id, name, kinds[name], 0, 20 * place, 20 * place + 5, "present", "rules"))
        mentions.append((study_id, "pneumonia", "disease", 0, 90, 95, "absent", "rules"))
    found = {}
    for name, rows, table in (
        ("studies", studies, tables.STUDIES),
        ("sections", sections, tables.SECTIONS),
        ("mentions", mentions, tables.MENTIONS),
    ):
        found[name] = folder / f"{name}.parquet"
        tables.write(pd.DataFrame(rows, columns=list(table.columns)), found[name], table)
    return found


CHAT = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"


@pytest.fixture(scope="session")
def model_folder(vocabulary: dict[str, Concept], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a very small causal language model with random weights and a chat template."""
    import torch

    from synvlp.concepts import asking, language_model

    folder = tmp_path_factory.mktemp("model")
    asked = [writing.Request("x", (concept,)) for concept in vocabulary.values()]
    texts = [message["content"] for request in asked for message in asking.messages(request)]
    coder = language_model.learn_tokenizer(texts, 800)
    coder.chat_template = CHAT
    torch.manual_seed(0)
    settings = language_model.Settings(width=16, layers=1, heads=2, tokens=1024)
    language_model.build(settings, coder).save_pretrained(folder)
    coder.save_pretrained(folder)
    return folder
