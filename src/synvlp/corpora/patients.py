"""Described patients: their anatomy, the course of their findings, and how each radiograph was taken.

Lengths are shares of the image's width, measured from the patient's midline (x, to the image's right) and
the image's top (y). The patient's right side is on the image's left. Everything about a patient follows
from (seed, patient id).
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from synvlp.store import seeds

LABELS = ("cardiomegaly", "effusion", "opacity", "pneumothorax", "nodule")
SIDES = ("right", "left")
ZONES = ("upper", "middle", "lower")

# How far a finding of severity 0, 1, 2 goes: the heart's width over the thorax's (cardiomegaly), the share of
# the lung's height (effusion), the radius (opacity), the width of the air rim (pneumothorax), the diameter in
# centimetres (nodule). The ranges do not touch, so that a word for the severity says what is in the picture.
EXTENTS = {
    "cardiomegaly": ((0.53, 0.555), (0.57, 0.60), (0.615, 0.67)),
    "effusion": ((0.09, 0.15), (0.20, 0.32), (0.40, 0.60)),
    "opacity": ((0.09, 0.11), (0.125, 0.16), (0.18, 0.23)),
    "pneumothorax": ((0.03, 0.04), (0.05, 0.07), (0.085, 0.13)),
    "nodule": ((1.4, 1.8), (1.9, 2.4), (2.5, 3.0)),
}
# The share of findings that are gone by the next study.
RESOLVING = {"cardiomegaly": 0.08, "effusion": 0.35, "opacity": 0.45, "pneumothorax": 0.55, "nodule": 0.08}
BILATERAL = {"effusion": 0.3, "opacity": 0.2}
SEVERITIES = (0.4, 0.35, 0.25)
CENTIMETRES = 28.0  # width of an image


@dataclass(frozen=True)
class Anatomy:
    """What stays the same in all of a patient's studies."""

    half_width: float  # of the thorax, inside
    wall: float  # thickness of the chest wall
    apex: float  # height of the lungs' tips
    dome: float  # height of the right diaphragm
    dome_gap: float  # how much lower the left one stands
    raised: float  # how much a diaphragm stands higher than it should
    raised_side: str
    drop: float  # from the dome to the costophrenic angle
    taper: float  # narrowing towards the apex
    mediastinum: float  # half width
    ratio: float  # cardiothoracic ratio of the normal heart
    heart_height: float
    heart_tilt: float  # radians
    fat_pad: float  # density beside the heart
    knob: float  # radius of the aortic knob
    hilum: float  # how dense the hila are
    rib_spacing: float
    rib_start: float
    rib_density: float
    clavicle: float  # height
    scapula: float  # density
    breast: float  # density
    breast_height: float
    spine_bend: float
    stomach: float  # how much gas is in the stomach
    texture: float  # how coarse the vessels are


@dataclass(frozen=True)
class Pose:
    """How one radiograph was taken."""

    view: str  # PA or AP
    shift: tuple[float, float]
    scale: float
    tilt: float  # in the image's plane, radians
    rotation: float  # about the patient's axis: moves the mediastinum, lightens one lung
    inspiration: float  # lowers the diaphragm
    magnification: float  # of the heart; a bedside radiograph shows it larger than it is
    gain: float
    gamma: float
    lift: float  # gray added everywhere
    noise: float
    blur: float


@dataclass(frozen=True)
class Finding:
    """One finding on one side; `extent` as in EXTENTS. The picture and the report are made from this."""

    label: str
    side: str  # right, left, or "" for the heart
    zone: str  # upper, middle, lower, or "" for the heart
    severity: int  # 0, 1, 2
    extent: float
    shape: int  # seeds the outline, which stays the same over the studies
    change: str = ""  # new, larger, smaller, same, or "" in a first study


@dataclass(frozen=True)
class Study:
    study_id: str
    date: datetime.date
    previous: datetime.date | None
    age: int
    pose: Pose
    findings: tuple[Finding, ...]
    resolved: tuple[Finding, ...]  # seen in the study before and gone
    devices: tuple[str, ...]
    ratio: float  # cardiothoracic ratio as drawn

    @property
    def labels(self) -> list[str]:
        """The labels that are present, in the order of LABELS."""
        present = {finding.label for finding in self.findings}
        return [label for label in LABELS if label in present]


@dataclass(frozen=True)
class Patient:
    patient_id: str
    sex: str
    born: datetime.date
    split: str
    anatomy: Anatomy
    studies: tuple[Study, ...] = field(default=())


def describe(seed: int, number: int, shares: Mapping[str, float], max_studies: int) -> Patient:
    """The patient with a number: anatomy and all studies.

    Args:
        seed: of the corpus.
        number: 0, 1, 2, …
        shares: how often each of LABELS is present in a study.
        max_studies: a patient has 1 to this many studies, evenly.
    """
    patient_id = f"phantom-{number:05d}"
    rng = np.random.default_rng(seeds.seed_of(seed, "patient", patient_id))
    sex = "F" if rng.random() < 0.5 else "M"
    first = datetime.date(2008, 1, 1) + datetime.timedelta(days=int(rng.integers(0, 4700)))
    age = int(rng.integers(90, 100)) if rng.random() < 0.12 else int(rng.integers(19, 90))
    born = first - datetime.timedelta(days=int(age * 365.25 + rng.integers(1, 360)))
    patient = Patient(patient_id, sex, born, _split(seed, number), _anatomy(rng, sex))
    return replace(patient, studies=tuple(_studies(rng, patient, first, shares, max_studies)))


def _split(seed: int, number: int) -> str:
    """Of every ten patients in a row seven are for training, one for validation, two for the test."""
    block, place = divmod(number, 10)
    order = np.random.default_rng(seeds.seed_of(seed, "split", block)).permutation(10)
    return (["train"] * 7 + ["val"] + ["test"] * 2)[order[place]]


def _anatomy(rng: np.random.Generator, sex: str) -> Anatomy:
    within = rng.uniform
    female = sex == "F"
    return Anatomy(
        half_width=within(0.36, 0.435) - 0.01 * female,
        wall=within(0.03, 0.075),
        apex=within(0.06, 0.13),
        dome=within(0.70, 0.81),
        dome_gap=within(0.0, 0.04),
        raised=within(0.03, 0.11) * (rng.random() < 0.2),
        raised_side=SIDES[int(rng.integers(2))],
        drop=within(0.05, 0.12),
        taper=within(0.36, 0.52),
        mediastinum=within(0.05, 0.08),
        ratio=float(np.clip(rng.normal(0.475, 0.03), 0.39, 0.52)),
        heart_height=within(0.13, 0.18),
        heart_tilt=within(0.35, 0.8),
        fat_pad=within(0.0, 0.22),
        knob=within(0.025, 0.05),
        hilum=within(0.4, 1.3),
        rib_spacing=within(0.075, 0.095),
        rib_start=within(0.0, 0.08),
        rib_density=within(0.05, 0.13),
        clavicle=within(0.12, 0.19),
        scapula=within(0.0, 0.09),
        breast=within(0.04, 0.2) if female else within(0.0, 0.05),
        breast_height=within(0.5, 0.64),
        spine_bend=rng.normal(0.0, 0.015),
        stomach=within(0.0, 0.25) * (rng.random() < 0.6),
        texture=within(0.6, 1.5),
    )


def _studies(
    rng: np.random.Generator, patient: Patient, day: datetime.date, shares: Mapping[str, float], most: int
) -> list[Study]:
    pacemaker = rng.random() < 0.08
    count = int(rng.integers(1, most + 1))
    studies: list[Study] = []
    findings: tuple[Finding, ...] = ()
    for number in range(1, count + 1):
        before, findings = findings, tuple(_course(rng, findings, shares, first=number == 1))
        labels = {finding.label for finding in findings}
        pose = _pose(rng)
        hearts = [finding.extent for finding in findings if finding.label == "cardiomegaly"]
        studies.append(
            Study(
                study_id=f"{patient.patient_id}-{number}",
                date=day,
                previous=studies[-1].date if studies else None,
                age=int((day - patient.born).days / 365.25),
                pose=pose,
                findings=findings,
                resolved=tuple(finding for finding in before if finding.label not in labels),
                devices=tuple(_devices(rng, pose, pacemaker)),
                ratio=hearts[0] if hearts else patient.anatomy.ratio,
            )
        )
        day += datetime.timedelta(days=int(rng.choice([1, 2, 5, 14, 45, 120, 300, 500]) + rng.integers(0, 3)))
    return studies


def _course(rng: np.random.Generator, before: tuple[Finding, ...], shares: Mapping[str, float], first: bool):
    """The findings of the next study. Every label stays as frequent as its share says in every study."""
    for label in LABELS:
        share = shares[label]
        old = [finding for finding in before if finding.label == label]
        gone = RESOLVING[label]
        if old:
            if rng.random() >= gone:
                yield from _progress(rng, old)
        elif rng.random() < (share if first else min(1.0, share * gone / max(1e-9, 1 - share))):
            yield from _onset(rng, label, "" if first else "new")


def _onset(rng: np.random.Generator, label: str, change: str) -> list[Finding]:
    sides = ("",) if label == "cardiomegaly" else (SIDES[int(rng.integers(2))],)
    if rng.random() < BILATERAL.get(label, 0.0):
        sides = SIDES
    zone = {"cardiomegaly": "", "effusion": "lower", "pneumothorax": "upper"}.get(label)
    zone = ZONES[int(rng.choice(3, p=(0.28, 0.32, 0.4)))] if zone is None else zone
    severity = int(rng.choice(3, p=SEVERITIES))
    return [
        Finding(label, side, zone, severity, _extent(rng, label, severity), int(rng.integers(2**31)), change)
        for side in sides
    ]


def _progress(rng: np.random.Generator, old: list[Finding]) -> list[Finding]:
    """The same places, a step better or worse, or as before; both sides of a bilateral finding together."""
    severity = old[0].severity
    step = int(rng.choice((-1, 0, 1), p=(0.3, 0.4, 0.3)))
    now = min(2, max(0, severity + step))
    change = {-1: "smaller", 0: "same", 1: "larger"}[now - severity]
    label = old[0].label
    return [
        replace(
            finding,
            severity=now,
            change=change,
            extent=finding.extent if change == "same" else _extent(rng, label, now),
        )
        for finding in old
    ]


def _extent(rng: np.random.Generator, label: str, severity: int) -> float:
    extent = float(rng.uniform(*EXTENTS[label][severity]))
    return round(extent, 1) if label == "nodule" else extent


def _pose(rng: np.random.Generator) -> Pose:
    portable = rng.random() < 0.4
    within = rng.uniform
    return Pose(
        view="AP" if portable else "PA",
        shift=(within(-0.035, 0.035), within(-0.03, 0.03)),
        scale=within(0.93, 1.1) + 0.03 * portable,
        tilt=rng.normal(0.0, 0.05 if portable else 0.02),
        rotation=rng.normal(0.0, 0.025 if portable else 0.012),
        inspiration=rng.normal(0.0, 0.02) - 0.03 * portable,
        magnification=within(1.0, 1.16) if portable else within(0.94, 1.06),
        gain=within(0.8, 1.35),
        gamma=within(0.8, 1.3),
        lift=within(0.0, 0.1),
        noise=within(0.6, 1.6) + 0.3 * portable,
        blur=within(0.0, 1.0),
    )


def _devices(rng: np.random.Generator, pose: Pose, pacemaker: bool):
    """What else lies in the picture; bedside radiographs show more of it."""
    portable = pose.view == "AP"
    if pacemaker:
        yield "pacemaker"
    for name, at_bedside, upright in (
        ("leads", 0.6, 0.08),
        ("endotracheal tube", 0.25, 0.0),
        ("feeding tube", 0.25, 0.01),
        ("central line", 0.3, 0.04),
        ("skin fold", 0.25, 0.12),
        ("scar", 0.12, 0.12),
        ("granuloma", 0.08, 0.1),
        ("nipple shadows", 0.06, 0.12),
    ):
        if rng.random() < (at_bedside if portable else upright):
            yield name
