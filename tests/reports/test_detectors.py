"""Detectors: what must be found, and what only looks like an identifier."""

import re

import pytest

from synvlp.reports import anonymize, spans
from synvlp.reports.lexicons import words
from synvlp.reports.spans import Span

# What stands between ⟦ and ⟧ must be found whole, nothing else may be touched. No name of these is in a list
# of the detectors, except where a line says so.
FOUND = [
    ("patient", "Patient Name: ⟦Quezada, Xiomara M.⟧  MRN pending"),
    ("patient", "Patient: ⟦Stone, Rose⟧ (vocabulary, but a field for names)"),
    ("patient", "NAME: ⟦VAN DER HEIJDE, ENEKO⟧ | SEX F"),
    ("patient", "⟦Xiomara Quezada⟧ is a 67-year-old woman with cough."),
    ("patient", "Mr. ⟦Young⟧ presents with young onset asthma."),
    ("patient", "Mrs. ⟦de la Fuente-Okri⟧'s radiograph is normal."),
    ("patient", "Her daughter, ⟦Solveig⟧, reports fever."),
    ("doctor", "Seen by dr ⟦okonjo⟧ in clinic."),
    ("doctor", "Findings were called to ⟦Zebedee Quist⟧, RN, at 14:05."),
    ("doctor", "I, ⟦Margarethe Lindqvist⟧, M.D., have reviewed the images."),
    ("doctor", "Electronically signed by: ⟦Quillfeather, Bartholomew J.⟧, MD"),
    ("doctor", "DR. ⟦VANTONGEREN⟧ NOTIFIED. HEART SIZE IS NORMAL. LUNGS ARE CLEAR."),
    ("doctor", "Discussed with Dr. ⟦Makinen, Kyosti⟧ by telephone."),
    ("doctor", "Attending: ⟦O'Shaughnessy⟧"),
    ("doctor", "⟦Thandiwe Achterberg⟧ was notified of the result."),
    ("doctor", "D: pending  T: 3 pm 14:02  ⟦JKM⟧"),
    ("doctor", "SIGNED BY ⟦OENE VANTONGEREN⟧ TODAY"),
    ("doctor", "Transcribed by: ⟦qzx⟧"),
    ("date", "Compared to ⟦March 14, 2019⟧."),
    ("date", "COMPARISON: ⟦3/14⟧ and ⟦02/28/2019⟧."),
    ("date", "CT of ⟦14-MAR-19⟧; film of ⟦2019-03-01⟧; ⟦20190301⟧."),
    ("date", "Seen ⟦Jan 2018⟧ and on the ⟦3rd of May 2019⟧."),
    ("age", "⟦94⟧-year-old man and his 88-year-old wife. Aged ⟦101⟧."),
    ("age", "⟦ninety-two⟧ year old; ⟦95⟧ y/o; ⟦96⟧F."),
    ("record", "MRN: ⟦00123456⟧"),
    ("record", "SSN ⟦123-45-6789⟧"),
    ("record", "Medical record number ⟦H01-22-33⟧ was checked."),
    ("accession", "Accession: ⟦CR-19-004512⟧"),
    ("accession", "Exam # ⟦8812345⟧"),
    ("phone", "Call ⟦(516) 555-0187⟧ today."),
    ("phone", "Pager ⟦31245⟧; e-mail ⟦jq@clinic.org⟧."),
    ("hospital", "Transferred from ⟦Our Lady of Sorrows Hospital⟧."),
    ("hospital", "Film from ⟦St. Elwin's Medical Center⟧."),
    ("address", "Lives at ⟦4512 Old Quarry Road, Apt 3B, Greenvale, NY 11548⟧."),
    ("address", "The patient resides in ⟦Brackenthwaite⟧."),
    ("device", "Pacemaker, serial number ⟦PJN123456S⟧."),
]
KEPT = """
Swan-Ganz catheter tip in the right pulmonary artery. Dobhoff tube. Kerley B lines. Ghon complex. Hickman catheter.
Foley catheter. Bochdalek hernia, Morgagni hernia, Pancoast tumor, Hodgkin lymphoma, Kaposi sarcoma.
Fleischner Society guidelines. Harrington rods from T3 to L2. Austin Moore prosthesis. Hill-Sachs deformity.
Compression of T12 and L1. C5-C6 fusion. A 2.5 cm nodule, 3 x 4 mm. 1/2 of the lung; 2/3 of the hemithorax.
Grade 3/6 murmur. Strength 5/5. 10/10 pain. 75 mg. Image 4/12. COVID-19. H1N1. CD4 50/mmc. T2-weighted.
Medtronic pacemaker. Boston Scientific ICD. St. Jude valve. Cook catheter. Bard port.
The hospital. Outside hospital. Pulmonary Clinic. Medical record reviewed. Department of Radiology.
The attending physician agrees. Read by radiology. Signed by attending. Per protocol. Discussed with Radiology.
Heart rate 100-120. SpO2 95%. FEV1 2.1 L. Temperature 101.5. BP 120/80. 88-year-old. 95 percent.
No change since yesterday. Follow-up in 6 to 12 months. May represent pneumonia. In 2017 he was well.
Name: unknown. Patient: Female. History: Down syndrome, Parkinson disease, Crohn's disease. Wilson disease.
Notified at 0930 hours. CC: chest pain. Young male. Green sputum. Gray zone. Long thoracic nerve.
""".strip().split("\n")


@pytest.fixture(scope="module")
def detector() -> anonymize.Detector:
    return anonymize.Detector()


def found(detector: anonymize.Detector, text: str) -> list[Span]:
    return detector.find_all({"study": text}, "patient-1")["study"]


@pytest.mark.parametrize(("category", "marked"), FOUND)
def test_finds_identifiers_whole_and_nothing_else(detector, category, marked):
    text = re.sub("[⟦⟧]", "", marked)
    want, shift = [], 0
    for match in re.finditer("⟦(.*?)⟧", marked):
        want.append((match.start() - shift, match.end() - shift - 2))
        shift += 2
    spotted = found(detector, text)
    assert [(span.start, span.end) for span in spotted] == want, [text[span.start : span.end] for span in spotted]
    assert {span.category for span in spotted} == {category}


@pytest.mark.parametrize("line", KEPT)
def test_leaves_clinical_text_alone(detector, line):
    assert [line[span.start : span.end] for span in found(detector, line)] == []


@pytest.mark.parametrize("line", KEPT[:4])
def test_leaves_clinical_text_in_capitals_alone(detector, line):
    assert [line[span.start : span.end] for span in found(detector, line.upper())] == []


def test_propagates_a_certain_name_to_all_reports_of_the_patient(detector):
    texts = {"a": "Patient: Quezada, Xiomara\nNormal.", "b": "The film of Quezada is blurred. XIOMARA moved."}
    spotted = detector.find_all(texts, "p1")["b"]
    assert [(texts["b"][span.start : span.end], span.category) for span in spotted] == [
        ("Quezada", "patient"),
        ("XIOMARA", "patient"),
    ]
    assert detector.find_all({"b": texts["b"]}, "p1")["b"] == []


def test_a_propagated_eponym_stays_a_device(detector):
    text = "Mr. Foley was seen. Foley catheter in place. We told Mr. Foley."
    spotted = [(span.start, text[span.start : span.end]) for span in found(detector, text)]
    assert spotted == [(4, "Foley"), (57, "Foley")]


def test_finds_the_patient_number_of_the_table(detector):
    text = "Reference P-77123 in the old system."
    spotted = detector.find_all({"s": text}, "P-77123")["s"]
    assert [(text[span.start : span.end], span.category) for span in spotted] == [("P-77123", "record")]


def test_markers_are_no_identifiers(detector):
    text = "Dr. ___ saw [**Name (NI) 1234567**] at [**Hospital 12**] on [**2180-05-03**]. Mr. XXXX. <NAME>"
    assert found(detector, text) == []


def test_union_joins_overlaps_and_takes_the_longest_category():
    joined = spans.union([Span(5, 9, "patient", "a"), Span(0, 6, "hospital", "b"), Span(9, 12, "date", "c")])
    assert joined == [Span(0, 9, "hospital", "b"), Span(9, 12, "date", "c")]


def test_names_of_the_samples_are_in_no_list():
    names = (
        "Quezada Xiomara Eneko Heijde Solveig Okonjo Zebedee Quist Margarethe Lindqvist Quillfeather Thandiwe Makinen"
    )
    assert not [name for name in names.split() if words.is_listed_name(name) or words.is_vocabulary(name)]


def test_lists_are_clean():
    for path in sorted(words.FOLDER.glob("*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# ")
        assert all(line.strip() == line and line for line in lines)
        assert len(set(lines)) == len(lines), path.name
    assert len(words.entries("vocabulary")) > 1500


@pytest.mark.parametrize(
    "word", ["opacities", "costophrenic", "pneumothoraces", "unchanged", "post-surgical", "Impression"]
)
def test_vocabulary_knows_inflected_words(word):
    assert words.is_vocabulary(word)


def test_detection_takes_time_in_proportion_to_length(detector):
    """A line of a kind that makes careless expressions explode must be done at once."""
    import time

    text = "12 " + "Aa Bb-Cc " * 300 + "Street of the " * 50 + "9" * 2000 + " " + "a." * 1000
    start = time.process_time()
    found(detector, text)
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    "marked",
    [
        "Findings discussed by telephone with ⟦Garcia⟧.",
        "Findings were reported by phone to ⟦Okafor⟧ (ICU).",
        "Result communicated by phone to ⟦JANE MILLER⟧.",
        "DISCUSSED BY PHONE WITH ⟦JOHN PARK⟧",
        "This was relayed by phone to ⟦Will Stone⟧.",
        "Results called by ⟦Okafor⟧.",
        "Physician notified: ⟦Okafor⟧",
        "Discussed over the telephone with ⟦Okafor⟧.",
        "Discussed by phone at 14:05 with ⟦Okafor⟧.",
        "Communicated via secure chat to ⟦Okafor⟧.",
        "Discussed by ⟦Okafor⟧ with the family.",
    ],
)
def test_finds_whom_a_result_was_told_in_whichever_way(detector, marked):
    text = re.sub("[⟦⟧]", "", marked)
    names = [text[span.start : span.end] for span in found(detector, text) if span.category == "doctor"]
    assert names == re.findall("⟦(.*?)⟧", marked)


@pytest.mark.parametrize(
    "line",
    [
        "Discussed by phone with Radiology. Reported by telephone to the ordering physician.",
        "Called by the nurse. Notified: none. Physician notified: unknown. Contacted: the clinic.",
        "Findings notified: No acute disease. Called: Pneumonia.",
    ],
)
def test_finds_nobody_where_nobody_is_told(detector, line):
    assert [line[span.start : span.end] for span in found(detector, line)] == []


@pytest.mark.parametrize(
    "marked",
    [
        "Dr. ⟦Do Kim⟧ agrees.",
        "Read by Dr. ⟦An Nguyen⟧",
        "Seen by Dr. ⟦He Wang⟧.",
        "Dr. ⟦See⟧ was told.",
        "Dr. ⟦To Nguyen⟧ was told. Dr. No fever.",
        "DR. ⟦STRONG⟧ AGREES.",
        "DR. ⟦BRIGHT⟧ NOTIFIED OF RESULT",
        "discussed with dr. ⟦stone⟧ today",
        "dr. ⟦green⟧ was notified",
        "seen by dr. ⟦an nguyen⟧ and dr. ⟦john stone⟧",
        "patient ⟦john smith⟧ presents",
        "discussed with ⟦jane doe⟧",
        "discussed with ⟦jane⟧ about this",
        "Dr. ⟦Smith⟧ & ⟦Long⟧ agree.",
        "Drs. ⟦Smith⟧ and ⟦Long⟧ agree. Dr. ⟦Okafor⟧ and ⟦Young⟧.",
        "Mr. ⟦Okafor⟧ was seen. We saw that ⟦okafor⟧ moved.",
        "Seen by Dr. ⟦O'Brien-Smith⟧. The read of ⟦O'Brien⟧ and ⟦Smith⟧, and of ⟦O’Brien-Smith⟧ and ⟦O’Brien⟧.",
        "Dr. ⟦Okafor⟧\nLungs are clear.",
    ],
)
def test_a_title_makes_a_name_of_nearly_any_word(detector, marked):
    text = re.sub("[⟦⟧]", "", marked)
    assert [text[span.start : span.end] for span in found(detector, text)] == re.findall("⟦(.*?)⟧", marked)


@pytest.mark.parametrize(
    "line",
    [
        "SEEN BY DR. NOTIFIED OF RESULT. DR. WILL CALL BACK.",
        "the dr. will see him. the dr. ordered a film. the dr. may come",
        "DR. TO REVIEW AT THE OFFICE",
        "MR CHEST WITHOUT CONTRAST. DR CHEST 2 VIEWS.",
        "MR Angiography of the chest. DR Chest. History of MS. Stable lesions.",
        "HISTORY OF MS. STABLE LESIONS.",
        "patient may go. patient long term care. discussed with patient at length",
    ],
)
def test_a_title_makes_no_name_of_acts_and_techniques(detector, line):
    assert [line[span.start : span.end] for span in found(detector, line)] == []


def test_a_propagated_eponym_in_lower_case_stays_a_device(detector):
    text = "Mr. Foley was seen. foley in place, foley catheter."
    assert [text[span.start : span.end] for span in found(detector, text)] == ["Foley"]


@pytest.mark.parametrize(
    "marked",
    [
        "⟦SMITH,JOHN A⟧ 1234567 03/04/1932 M",
        "⟦MILLER, JANE A⟧   MRN 1234567   DOB 03/04/1932",
        "⟦Okafor, Jane⟧\nMRN 1234567",
        "⟦Smith, John⟧ (MRN 1234567)",
        "⟦JANE MILLER⟧   MRN 1234567",
        "⟦JANE Q MILLER⟧ | DOB 03/04/1932",
        "PATIENT NAME: ⟦DOE JANE Q⟧",
        "MRN 1234567 ⟦QUEZADA, XIOMARA JANE⟧",
        "⟦DE SILVA, JANE⟧  MRN 1234567",
        "⟦STONE, ROSE⟧ 1234567",
        "⟦Smith, John⟧\nCHEST TWO VIEWS",
        "Exam of ⟦Okafor, Mary Ann⟧ (DOB 03/04/1932)",
        "⟦QUEZADA^XIOMARA^M⟧",
    ],
)
def test_finds_a_patient_without_a_label_in_a_header(detector, marked):
    text = re.sub("[⟦⟧]", "", marked)
    names = [text[span.start : span.end] for span in found(detector, text) if span.category == "patient"]
    assert names == re.findall("⟦(.*?)⟧", marked)


@pytest.mark.parametrize(
    "line",
    [
        "CHEST, PA AND LATERAL   MRN 1234567   DOB 03/04/1932",
        "CHEST TWO VIEWS   MRN 1234567",
        "PORTABLE CHEST MRN 1234567 DOB 03/04/1932",
        "ATELECTASIS, PNEUMONIA  MRN 1234567",
        "Swan-Ganz, Dobhoff  MRN 1234567",
        "Kerley, Hampton hump, Swan-Ganz. MRN 1234567",
        "Heart size, hilum and pleura are normal. Right, left.",
        "MRN 1234567. Heart normal, Lungs clear, Bones intact.",
        "AUSTIN MOORE PROSTHESIS   MRN 1234567",
    ],
)
def test_a_header_makes_no_name_of_clinical_words(detector, line):
    assert [line[span.start : span.end] for span in found(detector, line) if span.category == "patient"] == []


@pytest.mark.parametrize(
    "text",
    ["Age: [92]y", "age [92]yrs", "0[92]Y F", "Age (years): [92]", "F/[92]", "M[92]", "[92] y F", "DOB/Age: [92]y"],
)
def test_finds_ages_in_the_fields_of_headers(detector, text):
    plain = text.replace("[", "").replace("]", "")
    spans_found = {(span.start, span.end) for span in detector.find(plain) if span.category == "age"}
    assert spans_found == {(text.index("["), text.index("]") - 1)}


@pytest.mark.parametrize("line", ["Paged at 1430.", "Results called to the floor at 1430.", "Contacted at 1545."])
def test_times_of_calls_are_no_phones(detector, line):
    assert not detector.find(line)


@pytest.mark.parametrize("line", ["Can be reached at 1430.", "Paged at ext 1430."])
def test_extensions_are_phones(detector, line):
    assert [line[span.start : span.end] for span in detector.find_all({"a": line}, "p")["a"]] == ["1430"]


@pytest.mark.parametrize(
    ("category", "marked"),
    [
        ("phone", "Ring [020 7946 0958]."),
        ("phone", "Ring [07700 900123] please"),
        ("phone", "Surgery [(01223) 245151]"),
        ("address", "Postcode: [LS1 4DY]"),
        ("address", "of [SW1A 1AA]"),
        ("address", "Lives at [14 Elm Close, Leeds, LS1 4DY]"),
    ],
)
def test_finds_british_phones_and_postcodes(detector, category, marked):
    plain = marked.replace("[", "").replace("]", "")
    (found,) = detector.find_all({"a": plain}, "p")["a"]
    assert (found.category, plain[found.start : found.end]) == (
        category,
        marked[marked.index("[") + 1 : marked.index("]")],
    )


@pytest.mark.parametrize(
    "line", ["DISC AT L4 5TH METATARSAL", "AT C7 1ST RIB", "T8 5 MM NODULE", "kVp 120 mAs 0012 345"]
)
def test_levels_in_capitals_are_no_postcodes(detector, line):
    assert not detector.find(line)
