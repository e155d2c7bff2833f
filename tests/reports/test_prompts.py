"""Texts and prompts: cleaned, short enough, without markers; captions from labels."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synvlp import job
from synvlp.reports import prompts
from synvlp.store import prompting, tables


def words(limit: int):
    return lambda text: len(text.split()) <= limit


def test_text_is_impression_and_findings_cleaned():
    text = prompts.write_text(
        "1. Small  effusion.\n2. No nodule",
        "Heart – normal. Ok. A 2.5 cm nodule, 37°C, naïve; ratio 0.58. Seen by Dr. Brown.",
    )
    assert text == (
        "Small effusion. No nodule. Heart - normal. A 2.5 cm nodule, 37 degrees C, naive; ratio 0.58. "
        "Seen by Dr. Brown."
    )


def test_prompt_is_impression_first_then_findings_that_fit():
    got = prompts.write_prompt(
        "Small effusion.", "Heart is normal. Lungs are clear of any focal disease. No nodule.", words(6)
    )
    assert got == "Small effusion. Heart is normal."


def test_prompt_leaves_out_comparisons_and_talk():
    talk = "Findings were discussed with Dr. Brown. Please call 617-555-0101."
    findings = f"Compared with the prior study of 2019. Unchanged effusion. {talk}"
    assert prompts.write_prompt("Big heart.", findings, words(40)) == "Big heart. Unchanged effusion."
    kept = prompts.write_prompt("Big heart.", findings, words(40), drop_comparisons=False)
    assert kept == "Big heart. Compared with the prior study of 2019. Unchanged effusion."
    assert prompts.write_prompt("No change since the prior study.", "", words(40)) == "No change since the prior study."


@pytest.mark.parametrize(
    ("impression", "expected"),
    [
        ("Pneumothorax. Findings discussed with Dr. Rice at 3 pm.", "Pneumothorax."),
        ("Large effusion. Called to Dr. Rice at 3pm on 9/17.", "Large effusion."),
        ("Large effusion. Dr. Rice aware.", "Large effusion."),
        ("Large effusion. D/w Dr. Rice.", "Large effusion."),
        ("Large effusion. Relayed to Rachel Peck, RN at 3 pm.", "Large effusion."),
        ("Discussed with Dr. Rice.", ""),
    ],
)
def test_prompt_never_says_who_was_told(impression, expected):
    assert prompts.write_prompt(impression, "", words(20)) == expected


def test_prompt_of_a_case_note_begins_with_what_can_be_seen():
    note = "A 72-year-old woman was admitted with fever. Bilateral consolidation is noted.. She recovered."
    assert prompts.write_prompt("", note, words(40)) == "Bilateral consolidation is noted."
    assert prompts.write_prompt("", "Fever for two days. She recovered.", words(4)) == "Fever for two days."


def test_prompt_leaves_out_serials():
    got = prompts.write_prompt(
        "Pacemaker in place, serial # 176025-YVP, implanted 06-10-2014.", "Insulin pump (S/N ZN859) seen.", words(40)
    )
    assert got == "Pacemaker in place. Insulin pump seen."


def test_prompt_cuts_a_sentence_only_if_nothing_else_is_left():
    long = "There is a large right effusion with atelectasis, and there is much more to say about it than fits in."
    assert (
        prompts.write_prompt(long, "Clear left lung.", words(12)) == "There is a large right effusion with atelectasis."
    )


def test_repeated_sentences_stand_once_in_a_prompt():
    assert prompts.write_prompt("No effusion.", "No effusion. Clear lungs.", words(40)) == "No effusion. Clear lungs."


@given(
    st.lists(
        st.sampled_from(
            [
                "Clear lungs.",
                "A 2.5 cm nodule is seen in the left lung",
                "no",
                "1. Effusion, small; right",
                "",
                "Dr. B.",
            ]
        ),
        max_size=8,
    ).map(" ".join),
    st.integers(5, 30),
)
def test_prompts_keep_to_their_length(section, limit):
    assert len(prompts.write_prompt(section, section, words(limit)).split()) <= limit


@pytest.mark.parametrize("seed", range(16))
def test_captions_name_all_findings_and_no_other(seed):
    text = prompts.caption(["Pleural_Thickening", "COVID-19", "Mass"], "", seed)
    assert "pleural thickening, COVID-19 and mass" in text.replace("Pleural", "pleural")
    assert text[0].isupper() and text.endswith(".")
    assert "{" not in text and "PA" not in text
    normal = prompts.caption([], "AP", seed)
    assert not prompting.FINDING.search(normal.replace("normal", "").replace("Normal", "")) or "clear" in normal


def test_captions_vary_with_the_seed_only():
    made = {prompts.caption(["Mass"], "PA", seed) for seed in range(30)}
    assert len(made) >= 5
    assert prompts.caption(["Mass"], "PA", 7) == prompts.caption(["Mass"], "PA", 7)
    assert prompts.caption(["No Finding"], "PA", 1) == prompts.caption([], "PA", 1)


def study(name, kind="report", labels=(), labelled=True):
    return {
        "study_id": name,
        "patient_id": f"p-{name}",
        "collection": "c",
        "split": "train",
        "view": "PA",
        "sex": "",
        "age": 50.0,
        "labels": list(labels),
        "labelled": labelled,
        "has_image": True,
        "has_report": bool(kind),
        "text_kind": kind,
    }


def run(folder, studies, sections, tokenizer=None, **settings):
    blank = dict.fromkeys(tables.SECTIONS.columns, "")
    frame = pd.DataFrame([{**blank, **section} for section in sections], columns=list(tables.SECTIONS.columns))
    tables.write(frame, folder / "sections.parquet", tables.SECTIONS)
    tables.write(pd.DataFrame(studies), folder / "studies.parquet", tables.STUDIES)
    inputs = prompts.Inputs(
        studies=folder / "studies.parquet", sections=folder / "sections.parquet", tokenizer=tokenizer
    )
    outputs = prompts.Outputs(prompts=folder / "p.parquet", table=folder / "p.csv", rejected=folder / "r.csv")
    prompts.run(prompts.Settings(**settings), inputs, outputs)
    return tables.read(outputs.prompts, tables.PROMPTS).set_index("study_id"), pd.read_csv(outputs.rejected)


STUDIES = [study("a"), study("b", "note"), study("c", "", ["Mass"]), study("d", "", labelled=False), study("e")]
SECTIONS = [
    {"study_id": "a", "findings": "Clear lungs. Heart is normal.", "impression": "Normal chest."},
    {"study_id": "b", "findings": "Bilateral opacities."},
    {"study_id": "e", "impression": "Normal."},
]


def test_the_job(tmp_path):
    got, rejected = run(tmp_path, STUDIES, SECTIONS, max_rejected=0.5, min_words=2)
    assert dict(got["origin"]) == {"a": "report", "b": "note", "c": "caption"}
    assert got.loc["a", "prompt"] == "Normal chest. Clear lungs. Heart is normal."
    assert "mass" in got.loc["c", "text"].lower()
    assert got.loc["c", "text"] == got.loc["c", "prompt"]
    assert list(rejected["item"]) == ["e"]
    assert (tmp_path / "p.csv").read_text().count("\n") == 4


def test_captions_can_be_left_out(tmp_path):
    got, _ = run(tmp_path, STUDIES, SECTIONS, max_rejected=0.5, min_words=2, captions=False)
    assert list(got.index) == ["a", "b"]


def test_a_marker_stops_the_job_and_names_the_study_only(tmp_path):
    sections = [{"study_id": "a", "findings": "The pulmonary XXXX are normal in size."}]
    with pytest.raises(job.JobError, match="left in 1 studies: a;") as error:
        run(tmp_path, STUDIES, sections)
    assert "pulmonary" not in str(error.value)


def test_too_many_rejected_and_alien_sections_stop(tmp_path):
    with pytest.raises(job.JobError, match="rejected"):
        run(tmp_path, STUDIES, [{"study_id": "e", "impression": "Normal."}])
    with pytest.raises(job.JobError, match="1 studies are not in"):
        run(tmp_path, STUDIES, [{"study_id": "z", "impression": "Normal chest film."}])


def test_a_tokenizer_counts_instead_of_words(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    coder = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    coder.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    coder.save(str(tmp_path / "tokenizer.json"))
    got, _ = run(tmp_path, STUDIES[:1], SECTIONS[:1], tmp_path / "tokenizer.json", prompt_tokens=8, prompt_words=40)
    assert got.loc["a", "prompt"] == "Normal chest. Clear lungs."
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(job.JobError, match="not a readable tokenizer"):
        run(tmp_path, STUDIES[:1], SECTIONS[:1], tmp_path / "broken.json")
