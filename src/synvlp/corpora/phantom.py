"""Draw a corpus: chest-like images, with reports, findings and identifiers that are known exactly.

A described patient (anatomy, findings with side, zone and severity, devices, how the radiograph was taken)
is drawn as an image and written as a report, so that each tells what is in the other. A patient depends on
the seed and the patient's number only: more patients add rows and change none.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.corpora import anatomy, corpus, patients, planted, preview, wording
from synvlp.store import images, seeds, tables


class Settings(job.Settings):
    """Settings of the drawn corpus."""

    seed: int = job.setting(0, "seeds all patients", ge=0)
    patients: int = job.setting(420, "how many patients to draw", unit="patients", ge=1, le=100_000)
    max_studies: int = job.setting(3, "a patient has 1 to this many studies, evenly", unit="studies", ge=1, le=20)
    image_size: int = job.setting(64, "width and height of the images", unit="pixels", ge=32, le=512)
    cardiomegaly: float = job.setting(0.25, "share of studies with cardiomegaly", ge=0, le=0.9)
    effusion: float = job.setting(0.25, "share of studies with pleural effusion", ge=0, le=0.9)
    opacity: float = job.setting(0.30, "share of studies with an opacity", ge=0, le=0.9)
    pneumothorax: float = job.setting(0.15, "share of studies with pneumothorax", ge=0, le=0.9)
    nodule: float = job.setting(0.20, "share of studies with a nodule", ge=0, le=0.9)
    difficulty: float = job.setting(
        1.0, "1 as meant; more lowers the findings' contrast and strengthens distractors", gt=0, le=4
    )
    noise: float = job.setting(1.0, "strength of the grain, 1 as meant", ge=0, le=10)
    identifier_rate: float = job.setting(
        1.0, "how many identifiers are planted in reports, 1 as meant, 0 none", ge=0, le=2
    )
    marker_rate: float = job.setting(
        0.08, "share of reports with the marks of an earlier de-identification (___, XXXX, [** **])", ge=0, le=1
    )


class Inputs(job.Files):
    """Nothing is read."""


class Outputs(corpus.Outputs):
    """The corpus, with what only a drawn one can have."""

    identifiers: Path = job.private_file("planted identifiers: where each stands in its raw report (Parquet)")
    preview: Path = job.file("a few images with labels, masks and boxes (PNG)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Draw all patients. Equal settings give equal bytes."""
    drawn = corpus.Corpus()
    found: list[dict] = []
    shown: list[preview.Example] = []
    for number in job.progress(range(settings.patients), "patients"):
        _draw_patient(settings, number, drawn, found, shown)
    drawn.write(outputs)
    frame = pd.DataFrame(found, columns=list(tables.IDENTIFIERS.columns))
    tables.write(frame, outputs.identifiers, tables.IDENTIFIERS)
    preview.write(shown, outputs.preview)
    counts = frame["category"].value_counts()
    job.log.info("identifiers: %s", ", ".join(f"{counts.get(name, 0)} {name}" for name in planted.CATEGORIES))


def _draw_patient(
    settings: Settings, number: int, drawn: corpus.Corpus, found: list[dict], shown: list[preview.Example]
) -> None:
    shares = {label: getattr(settings, label) for label in patients.LABELS}
    patient = patients.describe(settings.seed, number, shares, settings.max_studies)
    who = planted.identity(
        np.random.default_rng(seeds.seed_of(settings.seed, "identity", patient.patient_id)), patient.sex
    )
    for study in patient.studies:
        picture = anatomy.draw(
            patient.anatomy,
            study,
            settings.image_size,
            settings.difficulty,
            settings.noise,
            texture_seed=seeds.seed_of(settings.seed, "texture", patient.patient_id),
            seed=seeds.seed_of(settings.seed, "grain", study.study_id),
        )
        text, spans = wording.write(
            np.random.default_rng(seeds.seed_of(settings.seed, "report", study.study_id)),
            patient,
            who,
            study,
            identifiers=settings.identifier_rate,
            markers=settings.marker_rate,
        )
        _add(drawn, patient, study, picture, text)
        found += [
            {"study_id": study.study_id, "category": category, "start": start, "end": end, "text": text[start:end]}
            for category, start, end in spans
        ]
        if len(shown) < preview.COUNT:
            shown.append(preview.Example(study.study_id, study.labels, picture))


def _add(
    drawn: corpus.Corpus, patient: patients.Patient, study: patients.Study, picture: anatomy.Picture, text: str
) -> None:
    row = {
        "study_id": study.study_id,
        "patient_id": patient.patient_id,
        "collection": "phantom",
        "split": patient.split,
        "view": study.pose.view,
        "sex": patient.sex,
        "age": float(min(study.age, 90)),
        "labels": study.labels,
        "labelled": True,
    }
    drawn.add(row, text=text, image=images.encode(picture.pixels))
    for region in picture.lungs:
        drawn.mark(study.study_id, "lungs", region.category, region.box, region.mask)
    for region in picture.findings:
        drawn.mark(study.study_id, "findings", region.category, region.box, region.mask)
    if not picture.findings:
        drawn.mark(study.study_id, "findings", "", None, None)
