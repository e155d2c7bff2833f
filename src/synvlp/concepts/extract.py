"""Find the concepts of a vocabulary in the texts of a corpus, and describe what its reports speak of.

The texts are those that encoders read: impression and findings, anonymized. Captions, which are written from labels
and not by people, are left out. Beside the rules, a token classifier can say where concepts stand (RaTE-NER's five
kinds of entities); what is uncertain or history then still comes from the rules.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.concepts import picture, statistics, vocabulary
from synvlp.concepts.extraction import Extractor
from synvlp.store import files, tables


class Settings(job.Settings):
    """Settings of extract-concepts."""

    classifier_folder: str | None = job.setting(
        None, "folder of a token classifier (transformers) that finds the concepts instead of the rules"
    )
    classifier_threshold: float = job.setting(0.5, "least probability at which its label counts", gt=0, lt=1)
    shown_concepts: int = job.setting(25, "most frequent concepts in the picture", unit="concepts", ge=5, le=60)


class Inputs(job.Files):
    """Inputs of extract-concepts."""

    prompts: Path = job.file("texts of the corpus (Parquet)")
    vocabulary: Path = job.file("concepts (Parquet)")


class Outputs(job.Files):
    """Outputs of extract-concepts."""

    mentions: Path = job.file("where the texts speak of concepts (Parquet)")
    statistics: Path = job.file("counts, long tail, co-occurrence, texts (JSON)")
    table: Path = job.file("studies per concept and status (CSV)")
    pairs: Path = job.file("findings and normal concepts that are present together (CSV)")
    picture: Path = job.file("frequencies, long tail and co-occurrence (PNG)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Extract and describe. Raises JobError for an unusable vocabulary or classifier, or if there is no report."""
    concepts = vocabulary.load(inputs.vocabulary)
    prompts = tables.read(inputs.prompts, tables.PROMPTS, ["study_id", "text", "origin"])
    written = prompts[prompts["origin"] != "caption"]
    if written.empty:
        raise job.JobError(f"{inputs.prompts}: no report among {len(prompts)} texts, so that there is nothing to read")
    texts = dict(zip(written["study_id"], written["text"], strict=True))
    mentions = extract(settings, concepts, texts)
    tables.write(mentions, outputs.mentions, tables.MENTIONS)
    described = statistics.describe(mentions, texts, concepts)
    described["texts"]["captions_left_out"] = len(prompts) - len(written)
    found = statistics.pairs(mentions, len(texts), "findings").head(50)
    files.write_json(outputs.statistics, {**described, "co_occurrence": found.to_dict("records")})
    counts = statistics.counts(mentions, concepts)
    tables.write_csv(counts, outputs.table)
    tables.write_csv(statistics.pairs(mentions, len(texts), "findings", "normal"), outputs.pairs)
    picture.draw(counts, mentions, len(texts), settings.shown_concepts, outputs.picture)
    tail = described["long_tail"]["findings"]
    job.log.info(
        "%d mentions in %d reports; %d of %d findings are present somewhere, the 10 most frequent are %.0f %% of all",
        len(mentions),
        len(texts),
        tail["present"],
        tail["in_vocabulary"],
        100 * tail["share_of_top"].get("10", 1.0),
    )


def extract(settings: Settings, concepts: dict[str, vocabulary.Concept], texts: dict[str, str]) -> pd.DataFrame:
    """The mentions in texts by study, as a table of `tables.MENTIONS`. Raises JobError for an unusable classifier."""
    detector = "rules"
    find = Extractor(concepts)
    if settings.classifier_folder:
        from synvlp.concepts import classifier

        detector = "classifier"
        try:
            find = classifier.Classifier(Path(settings.classifier_folder), settings.classifier_threshold, concepts)
        except (OSError, ValueError) as error:
            raise job.JobError(str(error)) from error
    rows = list(_rows(find, texts, concepts))
    frame = pd.DataFrame(rows, columns=["study_id", "concept", "kind", "sentence", "start", "end", "status"])
    return frame.assign(detector=detector)


def _rows(find: Extractor, texts: dict[str, str], concepts: dict[str, vocabulary.Concept]) -> Iterator[tuple]:
    for study, text in job.progress(texts.items(), "reports", total=len(texts)):
        for sentence, mention in find.numbered(text):
            kind = concepts[mention.concept].kind
            yield study, mention.concept, kind, sentence, mention.start, mention.end, mention.status
