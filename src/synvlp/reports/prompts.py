"""Write what encoders read and what generators are asked for: a study's text and its prompt.

The text is impression and findings, cleaned as in MGCA: no enumerations, one space between words, ASCII, no
sentence of one word, at least `min_words` words. The prompt is the impression, then sentences of the findings
while they fit. A study without text but with known labels gets a caption written from them (origin `caption`).
"""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.reports import markers
from synvlp.store import prompting, seeds, tables
from synvlp.store.prompting import write_prompt, write_text

_TEMPLATES = (
    "{findings}.",
    "Chest radiograph showing {findings}.",
    "Findings of {findings}.",
    "Frontal chest radiograph with {findings}.",
    "{view} chest radiograph with {findings}.",
    "There is evidence of {findings}.",
    "Radiographic appearance of {findings}.",
    "{view} view of the chest showing {findings}.",
)
_NORMAL = (
    "No acute cardiopulmonary abnormality.",
    "Normal chest radiograph.",
    "Chest radiograph without abnormal findings.",
    "Lungs are clear and the heart size is normal.",
    "{view} view of the chest without acute findings.",
    "No abnormality in the chest.",
)
_CAPITALS = re.compile(r"^(?:[A-Z]{2,}(?:-\d+)?|[A-Z]+-\d+)$")


class Settings(job.Settings):
    seed: int = job.setting(0, "seeds the choice of a caption's wording", ge=0)
    prompt_words: int = job.setting(
        40,
        "longest prompt; radiology has up to 1.8 of CLIP's tokens a word with its punctuation, so that 40 words keep "
        "to the 75 that CLIP's 77 leave beside begin and end",
        unit="words",
        ge=5,
        le=400,
    )
    prompt_tokens: int = job.setting(
        75, "longest prompt if a tokenizer is given, begin and end not counted", unit="tokens", ge=8
    )
    min_words: int = job.setting(3, "a text with fewer is rejected", unit="words", ge=1)
    drop_comparisons: bool = job.setting(
        True, "leave out of prompts what only compares with an earlier study; the text keeps it"
    )
    captions: bool = job.setting(True, "write captions from the labels of studies without text")
    max_rejected: float = job.setting(0.2, "largest share of studies with sections that may be rejected", ge=0, le=1)
    keep_markers: bool = job.setting(
        False,
        "let texts and prompts hold marks of an earlier de-identification: for the ablation of memorization alone; "
        "their origin then begins with `marked`",
    )


class Inputs(job.Files):
    studies: Path = job.file("table of studies (Parquet)")
    sections: Path = job.file("sections of the anonymized reports (Parquet)")
    tokenizer: Path | None = job.optional_file("the generator's tokenizer.json, to count its tokens instead of words")


class Outputs(job.Files):
    prompts: Path = job.file("texts and prompts (Parquet)")
    table: Path = job.file("the same, for people (CSV)")
    rejected: Path = job.file("studies without a usable text (CSV)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write texts and prompts of all studies.

    Raises JobError if a marker of an earlier de-identification is left in one and `keep_markers` does not allow it,
    if sections belong to no study, or if too many studies are rejected.
    """
    studies = tables.read(inputs.studies, tables.STUDIES)
    sections = tables.read(inputs.sections, tables.SECTIONS).set_index("study_id")
    alien = sorted(set(sections.index) - set(studies["study_id"]))
    if alien:
        raise job.JobError(
            f"{inputs.sections}: {len(alien)} studies are not in {inputs.studies}, the first is {alien[0]}"
        )
    fits = _limit(settings, inputs.tokenizer)
    rows, rejected = [], []
    for study in job.progress(studies.itertuples(), "studies", total=len(studies)):
        if study.study_id in sections.index:
            own = sections.loc[study.study_id]
            text = write_text(own["impression"], own["findings"])
            prompt = write_prompt(own["impression"], own["findings"], fits, settings.drop_comparisons)
            origin = study.text_kind or "report"
        elif settings.captions and study.labelled:
            text = prompt = caption(
                list(study.labels), study.view, seeds.seed_of(settings.seed, "caption", study.study_id)
            )
            origin = "caption"
        else:
            continue
        if len(prompting.WORD.findall(text)) < settings.min_words:
            rejected.append((study.study_id, inputs.sections.name, f"fewer than {settings.min_words} words"))
        elif not prompt:
            rejected.append((study.study_id, inputs.sections.name, "nothing that an image could show"))
        else:
            rows.append((study.study_id, study.patient_id, study.split, text, prompt, origin))
    _write(settings, outputs, rows, rejected, len(sections))


def caption(labels: list[str], view: str, seed: int) -> str:
    """A caption that says which findings are present; the wording is drawn from `seed`."""
    named = [_spoken(label) for label in labels if not re.fullmatch(r"(?i)no[ _]?findings?|normal|none", label)]
    templates = [
        template for template in (_TEMPLATES if named else _NORMAL) if view in {"PA", "AP"} or "{view}" not in template
    ]
    template = templates[seed % len(templates)]
    findings = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
    text = template.format(findings=findings, view=view)
    return text[0].upper() + text[1:]


def _spoken(label: str) -> str:
    """A label as words: Pleural_Thickening becomes pleural thickening, COVID-19 stays."""
    words = re.split(r"[_\s]+", label.strip())
    return " ".join(word if _CAPITALS.match(word) else word.lower() for word in words)


def _limit(settings: Settings, tokenizer: Path | None) -> Callable[[str], bool]:
    if tokenizer is None:
        return lambda text: len(text.split()) <= settings.prompt_words
    from tokenizers import Tokenizer

    try:
        coder = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # the library raises nothing more precise
        raise job.JobError(f"tokenizer {tokenizer}: not a readable tokenizer.json ({error})") from error
    coder.no_truncation()
    coder.no_padding()
    return lambda text: len(coder.encode(text, add_special_tokens=False).ids) <= settings.prompt_tokens


def _write(settings: Settings, outputs: Outputs, rows: list, rejected: list, total: int) -> None:
    frame = pd.DataFrame(rows, columns=list(tables.PROMPTS.columns)).sort_values("study_id", kind="stable")
    marked = [row.study_id for row in frame.itertuples() if markers.count(row.text) or markers.count(row.prompt)]
    if settings.keep_markers:
        own = frame["study_id"].isin(marked)
        frame["origin"] = frame["origin"].mask(own, tables.MARKED + frame["origin"])
        job.log.warning("ABLATION: %d of %d prompts hold marks of an earlier de-identification", own.sum(), len(frame))
    elif marked:
        raise job.JobError(
            f"marks of an earlier de-identification are left in {len(marked)} studies: {', '.join(marked[:10])}; "
            "anonymize takes them out, so that the sections must come from its output"
        )
    lost = pd.DataFrame(rejected, columns=list(tables.REJECTED.columns)).sort_values("item", kind="stable")
    tables.write_csv(lost, outputs.rejected)
    job.check_rejected(len(rejected), max(total, 1), settings.max_rejected, outputs.rejected)
    tables.write(frame, outputs.prompts, tables.PROMPTS)
    tables.write_csv(frame, outputs.table)
    counts = ", ".join(f"{origin} {count}" for origin, count in frame["origin"].value_counts().sort_index().items())
    lengths = frame["prompt"].str.split().str.len()
    job.log.info(
        "%d prompts (%s), %d rejected; %.1f words a prompt on average",
        len(frame),
        counts,
        len(lost),
        lengths.mean() if len(frame) else 0,
    )
