"""Texts are checked, written again with what was wrong, and rejected; the template writer's are right."""

import signal
from collections import Counter

import pandas as pd
import pytest

from synvlp import job, processes
from synvlp.concepts import asking, writing
from synvlp.concepts.vocabulary import BUILT_IN, Concept, closed
from synvlp.concepts.writers import template
from synvlp.store import tables

GOOD = "FINDINGS: Cardiomegaly is seen. The left lung is imaged.\nIMPRESSION: Cardiomegaly."
SETS = [["cardiomegaly", "left lung"], ["atelectasis", "spine"], ["pneumonia", "emphysema", "right lung"]]


def test_sections_are_found_in_what_models_write():
    for text in (
        GOOD,
        "<think>FINDINGS: none?\n</think>\n**FINDINGS:**\n- Cardiomegaly is seen.\n- The left lung is imaged.\n\n"
        "## IMPRESSION:\n1. Cardiomegaly.",
        GOOD.replace("\n", " "),
        "Here is the report.\nFindings: Cardiomegaly is seen.\nThe left lung is imaged.\nImpression: Cardiomegaly.",
    ):
        report = writing.parse(text)
        assert report == writing.Report("Cardiomegaly is seen. The left lung is imaged.", "Cardiomegaly."), text


def test_a_text_is_checked_for_all_and_only_its_concepts(vocabulary, request_of):
    check = writing.Checker(vocabulary)
    wanted = request_of("cardiomegaly", "left lung").concepts
    for text, problem in (
        (GOOD, ""),
        (GOOD.replace("is seen", "is seen. No pleural effusion"), ""),
        (GOOD.replace("The left lung", "The right lung"), "missing: left lung"),
        (GOOD.replace("Cardiomegaly is seen.", "No cardiomegaly."), "missing: cardiomegaly"),
        (GOOD.replace("Cardiomegaly is seen.", "Possible cardiomegaly."), "missing: cardiomegaly"),
        (GOOD.replace("imaged.", "imaged. There is an effusion."), "added: pleural effusion"),
        (GOOD.replace("IMPRESSION: Cardiomegaly.", "IMPRESSION: Pneumonia."), "added: pneumonia"),
        (GOOD.replace("Cardiomegaly is seen.", "Cardiomegaly."), "missing: cardiomegaly"),  # cleaning drops one word
        ("FINDINGS: Cardiomegaly.", "no FINDINGS or no IMPRESSION"),
        ("Emphysema.", "no FINDINGS or no IMPRESSION"),
    ):
        assert str(check(text, wanted)[1]) == problem, text


def test_added_anatomy_counts_if_asked_for(vocabulary, request_of):
    text = GOOD.replace("left lung", "left lung and the spine")
    wanted = request_of("cardiomegaly", "left lung").concepts
    assert not str(writing.Checker(vocabulary)(text, wanted)[1])
    assert str(writing.Checker(vocabulary, added_anatomy=False)(text, wanted)[1]) == "added: spine"


def scripted(answers: dict[str, list[str]], seen: list[writing.Request]) -> writing.Write:
    """A writer that gives the answers of a list, attempt by attempt."""

    def write(requests):
        seen.extend(requests)
        return [answers[one.study_id][one.attempt] for one in requests]

    return write


def test_a_wrong_text_is_asked_for_again_with_what_was_wrong(inputs, outputs):
    bad, worse = "FINDINGS: Pneumonia.\nIMPRESSION: Pneumonia.", "nothing"
    seen: list[writing.Request] = []
    write = scripted({"written-000001": [worse, bad, GOOD], "written-000002": [GOOD]}, seen)
    sets = [["cardiomegaly", "left lung"]] * 2
    writing.run(writing.__name__, writing.Settings(), inputs(sets), outputs, write, batch=1)
    assert [(one.study_id[-1], one.attempt, one.last, str(one.problem)) for one in seen] == [
        ("1", 0, "", ""),
        ("2", 0, "", ""),
        ("1", 1, worse, "no FINDINGS or no IMPRESSION"),
        ("1", 2, bad, "missing: cardiomegaly, left lung; added: pneumonia"),
    ]
    reports = tables.read(outputs.reports, tables.WRITTEN)
    assert reports["rewrites"].tolist() == [2, 0]
    assert reports["findings"].tolist() == ["Cardiomegaly is seen. The left lung is imaged."] * 2
    assert outputs.rejected.read_text() == "item,file,reason\n"


def test_a_set_without_a_right_text_is_rejected_with_its_reason(inputs, outputs):
    bad = "FINDINGS: Pneumonia.\nIMPRESSION: Pneumonia."
    sets = [["cardiomegaly", "left lung"]] * 4
    answers = {f"written-{n:06d}": [bad] * 3 if n == 2 else [GOOD] for n in range(1, 5)}
    settings = writing.Settings(max_rewrites=2, max_rejected=0.25)
    writing.run(writing.__name__, settings, inputs(sets), outputs, scripted(answers, []), batch=3)
    rejected = pd.read_csv(outputs.rejected)
    assert rejected["item"].tolist() == ["written-000002"]
    assert rejected["reason"][0] == "missing: cardiomegaly, left lung; added: pneumonia, after 2 rewrites"
    assert len(tables.read(outputs.reports, tables.WRITTEN)) == 3
    with pytest.raises(job.JobError, match="1 of 4 inputs were rejected") as stop:
        less = settings.model_copy(update={"max_rejected": 0.2})
        writing.run(writing.__name__, less, inputs(sets), outputs, scripted(answers, []), batch=3)
    assert "Pneumonia" not in str(stop.value)


def test_a_concept_that_the_vocabulary_lacks(inputs, outputs):
    with pytest.raises(job.JobError, match="no concept 'goitre'"):
        writing.run(writing.__name__, writing.Settings(), inputs([["goitre"]]), outputs, scripted({}, []), batch=1)


def test_a_question_holds_definitions_and_what_was_wrong(request_of):
    first = asking.messages(request_of("cardiomegaly", "normal heart size", "spine"))
    assert [message["role"] for message in first] == ["system", "user"]
    asked = first[1]["content"]
    assert "- cardiomegaly (also: enlarged heart): What cardiomegaly means." in asked
    assert "- normal heart size: What normal heart size means." in asked, "patterns are no synonyms to write"
    assert "FINDINGS" in asked and "IMPRESSION" in asked
    problem = writing.Problem(("spine",), ("emphysema",))
    again = asking.messages(request_of("cardiomegaly", "spine", attempt=1, last="old text", problem=problem))
    assert [message["role"] for message in again] == ["system", "user", "assistant", "user"]
    assert again[2]["content"] == "old text"
    assert "spine" in again[3]["content"] and "emphysema" in again[3]["content"]


def test_the_template_names_all_and_only_its_concepts_in_varied_words(vocabulary, request_of):
    check, settings = writing.Checker(vocabulary, added_anatomy=False), template.Settings()
    names = ["cardiomegaly", "pneumonia", "sharp costophrenic angles", "left lung", "spine"]
    texts = [template.text(request_of(*names, study_id=f"written-{n:06d}"), settings) for n in range(60)]
    for text in texts:
        report, problem = check(text, request_of(*names).concepts)
        assert not str(problem), text
        assert not {"left lung", "spine", "sharp costophrenic angles"} & check.named(report.impression), text
    assert len(set(texts)) == 60


def test_the_template_depends_on_seed_report_and_attempt_alone(request_of):
    names = ("cardiomegaly", "emphysema", "left lung")
    one = template.text(request_of(*names), template.Settings())
    assert one == template.text(request_of(*names), template.Settings())
    others = (request_of(*names, study_id="written-000002"), request_of(*names, attempt=1))
    assert one not in [template.text(other, template.Settings()) for other in others]
    assert one != template.text(request_of(*names), template.Settings(seed=1))


def test_the_template_writes_patterns_as_sentences(vocabulary):
    known = {phrase.words: phrase.sentence for phrase in template.phrases_of(vocabulary["normal heart size"])}
    assert known == {"normal heart size": False, "the heart size is normal": True}
    concept = Concept("x", "abnormality", ("lung * clear", "rib * fracture", "ett", "no disease"), "", "", ())
    words = {phrase.words: phrase.sentence for phrase in template.phrases_of(concept)}
    assert words == {"x": False, "the lungs are clear": True, "no disease": True}


def test_the_template_knows_every_concept_of_the_built_in_vocabulary():
    frame = pd.read_csv(BUILT_IN, keep_default_na=False)
    known = closed(
        [
            Concept(row.concept, row.kind, tuple(filter(None, row.synonyms.split("|"))), "", "", ())
            for row in frame.itertuples()
        ]
    )
    check, wrong = writing.Checker({concept.name: concept for concept in known}), Counter()
    for concept in known:
        if concept.kind != writing.ANATOMY:
            for attempt in range(8):
                request = writing.Request(concept.name, (concept,), attempt)
                wrong[concept.name] += bool(str(check(template.text(request, template.Settings()), (concept,))[1]))
    assert max(wrong.values()) < 7, wrong.most_common(3)
    assert sum(wrong.values()) < 0.1 * 8 * len(known), wrong.most_common(10)


def test_the_template_job_writes_every_set(inputs, outputs):
    template.run(template.Settings(max_rejected=0), inputs(SETS * 10), outputs)
    reports = tables.read(outputs.reports, tables.WRITTEN)
    assert [list(names) for names in reports["concepts"]] == SETS * 10
    first = outputs.reports.read_bytes()
    template.run(template.Settings(max_rejected=0), inputs(SETS * 10), outputs)
    assert outputs.reports.read_bytes() == first


def test_a_stopped_writer_goes_on_to_the_same_bytes(inputs, outputs, stopped, scratch, tmp_path):
    settings, given = template.Settings(), inputs(SETS * 700)
    whole = writing.Outputs(reports=tmp_path / "whole.parquet", rejected=tmp_path / "whole.csv")
    template.run(settings, given, whole)
    status, text = stopped(job.command("write-reports-template", settings, given, outputs), signal.SIGTERM)
    assert status == processes.STOPPED, text
    assert "stopped by SIGTERM after 2000 of 2100 texts of attempt 0; the next start goes on" in text.splitlines()[-1]
    template.run(settings, given, outputs)
    assert outputs.reports.read_bytes() == whole.reports.read_bytes()
    assert not list(scratch.iterdir())
