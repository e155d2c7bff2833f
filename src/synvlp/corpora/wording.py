"""Reports of described studies, in varied words.

A report names every finding that is drawn, with its side, zone and severity, and none that is not; the
sentences about anything else hold what makes real reports hard to read for a machine: negations, eponyms,
devices, vertebral levels, measurements, dates, and the names of people.
"""

import datetime
from dataclasses import dataclass

import numpy as np

from synvlp.corpora import planted
from synvlp.corpora.patients import LABELS, Finding, Patient, Study
from synvlp.corpora.planted import plant

SEVERITY = {
    "cardiomegaly": (("mild",), ("moderate",), ("severe", "marked")),
    "effusion": (("small", "trace", "tiny"), ("moderate", "moderate-sized"), ("large", "sizable")),
    "opacity": (("faint", "subtle", "mild"), ("moderate",), ("dense", "extensive")),
    "pneumothorax": (("small", "tiny"), ("moderate", "moderate-sized"), ("large",)),
}
NOUNS = {
    "effusion": ("pleural effusion", "pleural effusion", "effusion"),
    "opacity": ("opacity", "airspace opacity", "consolidation", "infiltrate", "airspace consolidation"),
    "pneumothorax": ("apical pneumothorax", "apical pneumothorax", "pneumothorax at the apex"),
    "nodule": ("nodule", "pulmonary nodule", "nodular density", "rounded nodule"),
}
ZONE = {
    "upper": ("upper lobe", "upper lung zone", "upper lung", "upper zone"),
    "middle": ("mid lung", "mid lung zone", "midlung zone", "middle zone"),
    "lower": ("lower lobe", "lower lung zone", "lung base", "lower lung"),
}
CHANGE = {
    "new": ("new", "new since the prior study", "not seen previously"),
    "larger": ("increased", "worsened in the interval", "larger than before"),
    "smaller": ("decreased", "improved in the interval", "smaller than before"),
    "same": ("unchanged", "stable", "not significantly changed"),
}
ABSENT = {
    "cardiomegaly": (
        "The heart size is normal",
        "Heart size is within normal limits",
        "The cardiac silhouette is not enlarged",
        "Cardiomediastinal silhouette is unremarkable",
        "There is no cardiomegaly",
    ),
    "effusion": (
        "No pleural effusion",
        "There is no effusion",
        "The costophrenic angles are sharp",
        "No evidence of pleural effusion is seen",
        "Pleural spaces are free of fluid",
    ),
    "opacity": (
        "No focal consolidation",
        "There is no focal airspace opacity",
        "No infiltrate is identified",
        "The lungs are without consolidation",
        "Negative for airspace disease",
    ),
    "pneumothorax": (
        "No pneumothorax",
        "There is no pneumothorax",
        "No evidence of pneumothorax",
        "No apical pneumothorax is seen",
    ),
    "nodule": (
        "No suspicious pulmonary nodule",
        "There is no nodule or mass",
        "No discrete nodule is seen",
    ),
}
LISTED = {
    "effusion": ("pleural effusion", "effusion"),
    "opacity": ("focal consolidation", "infiltrate", "airspace opacity"),
    "pneumothorax": ("pneumothorax",),
    "nodule": ("nodule", "pulmonary nodule"),
}
NORMAL = (
    "No acute cardiopulmonary abnormality",
    "No acute cardiopulmonary process",
    "Normal chest radiograph",
    "No acute disease",
    "Unremarkable examination of the chest",
    "No evidence of acute cardiopulmonary disease",
)
DEVICES = {
    "leads": ("Cardiac monitor leads overlie the chest", "External wires project over the thorax"),
    "endotracheal tube": (
        "The endotracheal tube ends {cm} cm above the carina",
        "ETT tip is {cm} cm above the carina, at the level of T3",
    ),
    "feeding tube": (
        "A Dobhoff tube courses below the diaphragm",
        "An enteric tube extends into the stomach, tip not included",
        "Feeding tube tip projects over the stomach at the level of L1",
    ),
    "central line": (
        "A Swan-Ganz catheter was exchanged for a central line that ends in the SVC",
        "A Hickman catheter ends at the cavoatrial junction",
        "PICC line tip projects over the SVC at the level of T6",
        "Central venous catheter in standard position",
    ),
    "skin fold": ("A skin fold projects over the chest", "Linear density along the chest wall is a skin fold"),
    "scar": ("Linear scarring is again seen", "There is a band of scar", "Fleischner line, of no importance"),
    "granuloma": ("A calcified granuloma is incidentally noted", "Healed Ghon complex"),
    "nipple shadows": ("Symmetric nipple shadows", "Round densities at the bases are nipple shadows"),
}
ASIDES = (
    "Degenerative changes of the thoracic spine, most marked at {level}",
    "Mild compression deformity of {level}, unchanged",
    "Anterior wedging at {level} and {level2}",
    "The aorta is tortuous and calcified",
    "Old healed fracture of the {rib} rib",
    "Kerley B lines are not present",
    "Surgical clips in the right upper abdomen",
    "Median sternotomy wires are intact",
    "S-shaped scoliosis with a Cobb angle of {angle} degrees",
    "No free air under the diaphragm",
    "Chilaiditi sign is incidentally noted",
    "No Hampton hump or Westermark sign",
    "Small hiatal hernia measuring {cm} cm",
    "Status post Ivor Lewis esophagectomy",
    "Harrington rods from {level} to {level2}",
    "A Bochdalek hernia cannot be confirmed on this view",
    "Osseous structures are intact",
    "The trachea is midline, {mm} mm in caliber",
    "Grade 1/4 spondylolisthesis is not included in this field",
    "St. Jude prosthetic valve in the mitral position",
    "The azygos fissure is a normal variant",
    "Schmorl nodes at {level}",
    "Mild atherosclerosis of the aortic knob",
    "Azygos vein measures {mm} mm, within normal limits",
)
SYMPTOMS = (
    "shortness of breath",
    "cough and fever",
    "chest pain",
    "hypoxia",
    "dyspnea on exertion",
    "a fall from 6 feet",
    "fever to 102.4",
    "preoperative evaluation",
    "altered mental status",
    "productive cough for 2 weeks",
    "history of Hodgkin lymphoma",
    "CHF, evaluate for interval change",
    "known Parkinson disease and cough",
    "status post Whipple procedure",
    "positive PPD",
)
HEADINGS = {
    "indication": (
        "INDICATION:",
        "Indication:",
        "CLINICAL HISTORY:",
        "REASON FOR EXAM:",
        "HISTORY:",
        "Clinical information/",
    ),
    "comparison": ("COMPARISON:", "Comparison:", "COMPARISONS:", "Comparison/", "PRIOR STUDIES:"),
    "technique": ("TECHNIQUE:", "EXAMINATION:", "EXAM:", "PROCEDURE:"),
    "findings": ("FINDINGS:", "Findings:", "FINDINGS :", "Findings/", "FINDINGS -", "REPORT:"),
    "impression": ("IMPRESSION:", "Impression:", "CONCLUSION:", "IMPRESSION :", "Impression/", "OPINION:", "SUMMARY:"),
}

SIGNED = (
    "Electronically signed by:",
    "Signed by",
    "Dictated by:",
    "Interpreted by",
    "Attending radiologist:",
    "Read by",
)


@dataclass
class Writer:
    """One report in the making."""

    rng: np.random.Generator
    patient: Patient
    who: planted.Identity
    study: Study
    rate: float  # how often identifiers are planted where they could be

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def plants(self, share: float) -> bool:
        """Whether to plant an identifier that stands here in `share` of the reports."""
        return bool(self.rng.random() < share * self.rate)

    def one(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def date(self, day: datetime.date, short: bool = False) -> str:
        return plant("date", planted.date(self.rng, day, short=short))

    def doctor(self, who: planted.Person | None = None) -> str:
        return plant("doctor", planted.full_name(self.rng, who or planted.person(self.rng)))

    def surname(self) -> str:
        return plant("doctor", planted.person(self.rng).last)

    def hospital(self) -> str:
        return plant("hospital", planted.hospital(self.rng))

    def phone(self) -> str:
        return plant("phone", planted.phone(self.rng))

    def extension(self) -> str:
        return plant("phone", planted.extension(self.rng))

    def time(self) -> str:
        hour, minute = int(self.rng.integers(0, 24)), int(self.rng.integers(0, 60))
        clock = f"{(hour - 1) % 12 + 1}:{minute:02d} {'AM' if hour < 12 else 'PM'}"
        return self.one((f"{hour:02d}:{minute:02d}", clock, f"{hour:02d}{minute:02d} hours"))


def write(
    rng: np.random.Generator,
    patient: Patient,
    who: planted.Identity,
    study: Study,
    *,
    identifiers: float,
    markers: float,
) -> tuple[str, list[tuple[str, int, int]]]:
    """The report of a study, and (category, start, end) of each identifier in it.

    Args:
        rng: decides on the words.
        patient: the patient described.
        who: what identifies the patient.
        study: what is drawn.
        identifiers: 1 plants as many as meant, 0 none.
        markers: share of reports that went through an earlier de-identification.
    """
    writer = Writer(rng, patient, who, study, identifiers)
    body = _sections(writer)
    parts = [_header(writer), body, _signature(writer)]
    text = "\n\n".join(part for part in parts if part)
    if writer.chance(0.03):
        text = text.upper()
    if writer.chance(markers):
        text = planted.redact(_smudge(writer, text), rng, writer.one(("___", "XXXX", "[** **]")), 0.8)
    return planted.spans(text)


def _sections(writer: Writer) -> str:
    """Indication, comparison, findings and impression; some are missing, some come without headings."""
    omit = writer.rng.random()
    sections = {}
    if writer.chance(0.9):
        sections["indication"] = _indication(writer)
    if writer.chance(0.25):
        sections["technique"] = _technique(writer)
    if writer.chance(0.88):
        sections["comparison"] = _comparison(writer)
    if omit > 0.07:
        sections["findings"] = _findings(writer)
    if not 0.07 < omit < 0.13:
        sections["impression"] = _impression(writer)
    if writer.chance(0.04):
        return "\n\n".join(sections[name] for name in ("findings", "impression") if name in sections)
    space = writer.one((" ", " ", "\n"))
    lines = [f"{writer.one(HEADINGS[name])}{space}{text}" for name, text in sections.items()]
    if "impression" in sections and writer.chance(0.03):
        lines.append(f"{writer.one(HEADINGS['impression'])}{space}{_impression(writer)}")
    return writer.one(("\n\n", "\n\n", "\n")).join(lines)


def _header(writer: Writer) -> str:
    who, study, form = writer.who, writer.study, writer.rng.random()
    name = _last_first(writer)
    record, accession = plant("record", who.record), plant("accession", planted.accession(writer.rng, study.date.year))
    when = writer.date(study.date)
    if not writer.plants(0.6):
        return writer.one(("", "", "FINAL REPORT", f"EXAM: CHEST RADIOGRAPH ({study.pose.view})"))
    if form < 0.3:
        lines = [
            plant("hospital", who.hospital),
            plant("address", who.address) if writer.chance(0.35) else "Department of Radiology",
            f"Patient: {name}   {writer.one(('MRN:', 'MR#', 'Medical Record #'))} {record}",
            f"{writer.one(('DOB:', 'Date of Birth:'))} {writer.date(writer.patient.born)}   Sex: {writer.patient.sex}",
            f"{writer.one(('Accession:', 'Accession #', 'ACC:'))} {accession}",
            f"Exam date: {when} {writer.time()}",
            f"Referring: Dr. {writer.doctor(who.doctor)}",
        ]
        keep = [index < 3 or writer.chance(0.7) for index in range(len(lines))]
        return "\n".join(line for line, kept in zip(lines, keep, strict=True) if kept)
    if form < 0.6:
        return f"NAME: {name} | MRN {record} | ACC# {accession} | DOS {when}"
    if form < 0.8:
        return (
            f"EXAM: CHEST {study.pose.view} {when} {writer.time()}\nOrdering physician: {writer.doctor(who.doctor)}, MD"
        )
    return f"{plant('hospital', who.hospital)}\nRADIOLOGY REPORT - {when} - Acc {accession}"


def _last_first(writer: Writer) -> str:
    name = writer.who.name
    form = writer.rng.random()
    if form < 0.6:
        return plant("patient", f"{name.last}, {name.first}")
    return plant(
        "patient", f"{name.first} {name.last}" if form < 0.85 else f"{name.last.upper()}, {name.first.upper()}"
    )


def _indication(writer: Writer) -> str:
    study, symptom = writer.study, writer.one(SYMPTOMS)
    woman = writer.patient.sex == "F"
    text = f"{_person(writer, woman)} with {symptom}"
    if writer.plants(0.12):
        text += f", transferred from {writer.hospital()}"
    if writer.plants(0.06):
        text += f", resident of {plant('address', writer.who.town)}"
    elif writer.plants(0.07):
        text += f", brought in from home at {plant('address', writer.who.address)}"
    if writer.plants(0.06):
        text += f", seen on {writer.date(study.date, short=True)}"
    if writer.plants(0.07):
        relative = planted.person(writer.rng)
        kin = "daughter" if relative.sex == "F" else "son"
        text += f"; history from {kin} {plant('patient', f'{relative.first} {relative.last}')}"
    return f"{text}."


def _person(writer: Writer, woman: bool) -> str:
    """The patient at the start of an indication, named or not; an age over 89 identifies."""
    study, name = writer.study, writer.who.name
    age = plant("age", str(study.age)) if study.age > 89 else str(study.age)
    noun = writer.one(("woman", "female", "lady") if woman else ("man", "male", "gentleman"))
    described = writer.one(
        (
            f"{age}-year-old {noun}",
            f"{age} year old {noun}",
            f"{age} y/o {noun}",
            f"{age}yo {noun}",
            f"{noun}, age {age},",
        )
    )
    if not writer.plants(0.18):
        return described[0].upper() + described[1:]
    title = writer.one(("Ms.", "Mrs.") if woman else ("Mr.", "Mr"))
    if writer.chance(0.6):
        return f"{title} {plant('patient', name.last)} is a {described}"
    return f"{plant('patient', f'{name.first} {name.last}')} is a {described}"


def _technique(writer: Writer) -> str:
    portable = writer.study.pose.view == "AP"
    view = writer.one(("Portable AP", "Single AP bedside")) if portable else writer.one(("Frontal PA", "Upright PA"))
    return f"{view} view of the chest{', 1/1 image' if writer.chance(0.2) else ''}."


def _comparison(writer: Writer) -> str:
    study = writer.study
    if study.previous is None:
        return writer.one(("None.", "None available.", "No prior studies.", "No prior radiographs for comparison."))
    if not writer.plants(0.95):
        return writer.one(
            ("Prior radiograph.", "Most recent prior study.", "Chest radiograph of the previous admission.")
        )
    day = writer.date(study.previous, short=True)
    elsewhere = f" from {writer.hospital()}" if writer.plants(0.08) else ""
    form = writer.one(
        ("{}.", "Chest radiograph {}.", "Radiograph dated {}.", "AP chest of {}.", "{}, and CT of the chest.")
    )
    return form.format(day + elsewhere)


def _findings(writer: Writer) -> str:
    """Sentences on what is there, what is not, and everything else, in this order or mixed."""
    sentences = [_opening(writer)] if writer.chance(0.3) else []
    positive = [_positive(writer, group) for group in _groups(writer.study.findings)]
    rest = _negatives(writer) + _device_sentences(writer) + _asides(writer) + _resolved(writer)
    rest = [rest[index] for index in writer.rng.permutation(len(rest))]
    sentences += positive + rest if writer.chance(0.6) else rest[: len(rest) // 2] + positive + rest[len(rest) // 2 :]
    return " ".join(f"{sentence}." for sentence in sentences)


def _opening(writer: Writer) -> str:
    previous = writer.study.previous
    if previous and writer.plants(0.5):
        day = writer.date(previous, short=True)
        return writer.one(
            (
                f"In comparison with the study of {day}, the patient's position is similar",
                f"As compared to {day}, there is little difference in technique",
            )
        )
    pose = writer.study.pose
    if pose.inspiration < -0.04:
        return writer.one(("Low lung volumes accentuate the bronchovascular markings", "Shallow inspiration"))
    if abs(pose.rotation) > 0.025:
        return "The patient is slightly rotated"
    return writer.one(("A frontal view of the chest is submitted", "Lung volumes are adequate"))


def _impression(writer: Writer) -> str:
    groups = _groups(writer.study.findings)
    items = [_capital(_phrase(writer, group, article=False)) for group in groups] or [writer.one(NORMAL)]
    absent = [label for label in LABELS if label not in writer.study.labels and label in LISTED]
    if groups and absent and writer.chance(0.3):
        items.append(f"No {writer.one(LISTED[writer.one(absent)])}")
    if writer.chance(0.12):
        items.append(
            writer.one(
                (
                    "Clinical correlation is recommended",
                    "Follow-up as clinically indicated",
                    "Recommend repeat PA and lateral views",
                )
            )
        )
    if writer.plants(0.35):
        items.append(_notice(writer))
    if len(items) > 1 and writer.chance(0.45):
        mark = writer.one(("{}. ", "{}) "))
        return "\n".join(f"{mark.format(number)}{item}." for number, item in enumerate(items, 1))
    return " ".join(f"{item}." for item in items)


def _notice(writer: Writer) -> str:
    """Who was told, when, and how to call back."""
    form = writer.rng.random()
    if form < 0.3:
        when = f"at {writer.time()} on {writer.date(writer.study.date, short=True)}"
        return f"Findings were discussed with Dr. {writer.doctor()} by telephone {when}"
    if form < 0.5:
        line = f"{writer.one(('ext.', 'x', 'extension'))} {writer.extension()}"
        return f"Results were communicated to {writer.doctor()}, RN, at {line}"
    if form < 0.65:
        return f"Dr. {writer.surname()} (pager {writer.extension()}) was notified"
    if form < 0.8:
        return f"Please call {writer.phone()} with questions"
    if form < 0.9:
        return f"Follow-up was arranged at {writer.hospital()}, telephone {writer.phone()}"
    return f"The patient can be reached at {plant('phone', writer.who.phone)}"


def _signature(writer: Writer) -> str:
    study, who, lines = writer.study, writer.who, []
    reader = planted.person(writer.rng)
    if writer.plants(0.5):
        how = writer.one(SIGNED)
        when = f" on {writer.date(study.date)}" if writer.chance(0.6) else ""
        lines.append(f"{how} {writer.doctor(reader)}{writer.one((', MD', ', M.D.', ' MD', ''))}{when}")
    if writer.plants(0.12):
        day = study.date + datetime.timedelta(days=int(writer.rng.integers(0, 2)))
        typist = plant("doctor", reader.initials + writer.one("BDKM"))
        lines.append(f"D: {writer.date(study.date)}  T: {writer.date(day)}  {typist}")
    if writer.plants(0.08):
        lines.append(f"cc: Dr. {writer.doctor(who.doctor)}, {writer.one(('fax', 'Fax:', 'tel.'))} {writer.phone()}")
    if writer.plants(0.07):
        lines.append(f"{plant('hospital', who.hospital)}, {plant('address', who.address)}")
    return "\n".join(lines)


def _groups(findings: tuple[Finding, ...]) -> list[tuple[Finding, ...]]:
    """Findings by label; two sides of one label stand together as a bilateral one."""
    return [group for label in LABELS if (group := tuple(each for each in findings if each.label == label))]


def _phrase(writer: Writer, group: tuple[Finding, ...], article: bool) -> str:
    """A finding as a noun phrase, with severity, side and zone."""
    finding, label = group[0], group[0].label
    side = "bilateral" if len(group) > 1 else finding.side
    if label == "nodule":
        size = f"{finding.extent:.1f} cm" if writer.chance(0.7) else f"{round(finding.extent * 10)} mm"
        words = f"{size} {side} {writer.one(ZONE[finding.zone])} {writer.one(NOUNS[label])}"
        other = f"{size} {writer.one(NOUNS[label])} in the {side} {writer.one(ZONE[finding.zone])}"
        return ("a " if article else "") + writer.one((words, other))
    severity = writer.one(SEVERITY[label][finding.severity])
    if label == "cardiomegaly":
        return f"{severity} {writer.one(('cardiomegaly', 'cardiomegaly', 'enlargement of the cardiac silhouette'))}"
    plural = "s" if len(group) > 1 else ""
    noun = writer.one(NOUNS[label])
    article = article and not plural and noun not in ("consolidation", "airspace consolidation")
    if label == "opacity":
        plural = "" if noun.endswith("consolidation") else plural.replace("s", "ies" if noun.endswith("y") else "s")
        noun = noun.removesuffix("y") if plural == "ies" else noun
        zone = writer.one(ZONE[finding.zone])
        text = writer.one(
            (
                f"{severity} {side} {zone} {noun}{plural}",
                f"{severity} {noun}{plural} in the {side} {zone}{'s' if len(group) > 1 else ''}",
            )
        )
    else:
        text = f"{severity} {side} {noun}{plural}"
    return (_article(text) if article else "") + text


def _article(text: str) -> str:
    return "an " if text[0] in "aeiou" else "a "


def _positive(writer: Writer, group: tuple[Finding, ...]) -> str:
    """One sentence that says that a finding is there."""
    finding = group[0]
    if finding.label == "cardiomegaly" and writer.chance(0.4):
        adverb = ("mildly", "moderately", writer.one(("severely", "markedly")))[finding.severity]
        text = writer.one((f"The heart is {adverb} enlarged", f"The cardiac silhouette is {adverb} enlarged"))
        if writer.chance(0.4) and writer.study.pose.view == "PA":
            text += f", with a cardiothoracic ratio of {finding.extent:.2f}"
        return text
    if finding.label == "effusion" and finding.severity == 0 and len(group) == 1 and writer.chance(0.25):
        return f"Blunting of the {finding.side} costophrenic angle from a small pleural effusion"
    if finding.severity == 0 and writer.chance(0.06):
        phrase = _phrase(writer, group, article=False)
        return writer.one((f"Probable {phrase}", f"Appearance suggests {phrase}"))
    plural = "are" if len(group) > 1 and finding.label != "opacity" else "is"
    phrase = _phrase(writer, group, article=True)
    text = writer.one(
        (
            f"There {plural} {phrase}",
            f"{_capital(phrase)} {plural} seen",
            _capital(phrase),
            f"{_capital(phrase)} {plural} noted",
        )
    )
    if finding.change and writer.chance(0.6):
        text += f", {writer.one(CHANGE[finding.change])}"
        if writer.study.previous and writer.plants(0.12):
            text += f" compared with {writer.date(writer.study.previous, short=True)}"
    return text


def _negatives(writer: Writer) -> list[str]:
    """Most of what is absent is said to be absent, alone or in lists."""
    absent = [label for label in LABELS if label not in writer.study.labels and writer.chance(0.75)]
    listed = [label for label in absent if label in LISTED]
    sentences = []
    if len(listed) > 1 and writer.chance(0.6):
        names = [writer.one(LISTED[label]) for label in writer.rng.permutation(listed)]
        joined = f"{', '.join(names[:-1])}{',' if len(names) > 2 else ''} or {names[-1]}"
        sentences.append(writer.one((f"No {joined}", f"There is no {joined}", f"No evidence of {joined}")))
        absent = [label for label in absent if label not in listed]
    sentences += [writer.one(ABSENT[label]) for label in absent]
    if not writer.study.findings and writer.chance(0.4):
        sentences.append(
            writer.one(("The lungs are clear", "Lungs are clear bilaterally", "Lungs are well expanded and clear"))
        )
    return sentences


def _resolved(writer: Writer) -> list[str]:
    """What the study before showed and this one does not."""
    names = {"effusion": "effusion", "opacity": "opacity", "pneumothorax": "pneumothorax"}
    gone = sorted({finding.label for finding in writer.study.resolved} & names.keys())
    return [f"The previously seen {names[label]} has resolved" for label in gone if writer.chance(0.5)]


def _device_sentences(writer: Writer) -> list[str]:
    sentences = []
    for name in writer.study.devices:
        if name == "pacemaker":
            sentences.append(_pacemaker(writer))
        elif writer.chance(0.7):
            sentences.append(_fill(writer, writer.one(DEVICES[name])))
    return sentences


def _pacemaker(writer: Writer) -> str:
    maker = writer.one(("Medtronic", "St. Jude", "Biotronik", "Boston Scientific"))
    text = writer.one(
        (
            f"Left pectoral {maker} pacemaker with leads in right atrium and right ventricle",
            f"Dual-lead {maker} pacemaker in place",
        )
    )
    if writer.plants(0.75):
        label = writer.one(("serial number", "serial no.", "S/N", "serial #", "SN"))
        text += f", {label} {plant('device', writer.who.serial)}"
        if writer.plants(0.3):
            day = writer.study.date - datetime.timedelta(days=int(writer.rng.integers(30, 2000)))
            text += f", implanted {writer.date(day)}"
    return text


def _asides(writer: Writer) -> list[str]:
    count = int(writer.rng.choice(4, p=(0.35, 0.35, 0.2, 0.1)))
    chosen = writer.rng.choice(len(ASIDES), size=count, replace=False)
    sentences = [_fill(writer, ASIDES[index]) for index in chosen]
    if writer.plants(0.05):
        serial = plant("device", planted.serial(writer.rng))
        sentences.append(
            writer.one(
                (
                    f"Implanted port, serial number {serial}",
                    f"Insulin pump (S/N {serial}) overlies the abdomen",
                    f"Loop recorder, model LINQ II, serial {serial}",
                )
            )
        )
    if writer.plants(0.04):
        sentences.append(f"Dr. {writer.surname()} reviewed the images")
    return sentences


def _fill(writer: Writer, sentence: str) -> str:
    """Fill in levels, lengths and angles."""
    level = int(writer.rng.integers(4, 12))
    rib = int(writer.rng.integers(4, 11))
    return sentence.format(
        level=f"T{level}",
        level2=f"T{level + 1}",
        cm=f"{writer.rng.uniform(2.0, 6.0):.1f}",
        mm=int(writer.rng.integers(5, 20)),
        angle=int(writer.rng.integers(11, 35)),
        rib=f"{writer.one(('left', 'right'))} {rib}th",
    )


def _smudge(writer: Writer, text: str) -> str:
    """Earlier de-identification also takes ordinary words; never those that say what is in the picture."""
    for sentence in (
        "Osseous structures are intact",
        "The aorta is tortuous and calcified",
        "Median sternotomy wires are intact",
    ):
        words = sentence.split()
        text = text.replace(sentence, sentence.replace(words[1], "XXXX", 1))
    return text


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
