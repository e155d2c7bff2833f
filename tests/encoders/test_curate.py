"""What is decided from judgements: duplicates, what is put back, what makes no pair, and what a measurement counts."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError
from scipy.stats import binomtest

from synvlp import job
from synvlp.encoders import pairs
from synvlp.encoders.curation import curate, duplicates, measure
from synvlp.store import files, images, tables


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 200, (12, 12)).astype(np.uint8)
    return images.resize(coarse, 64)


def png(pixels: np.ndarray, level: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=level)
    return buffer.getvalue()


def study(name: str, split: str = "train", patient: str = "") -> dict:
    return {
        "study_id": name,
        "patient_id": patient or f"p-{name}",
        "collection": "x",
        "split": split,
        "view": "PA",
        "sex": "",
        "age": 50.0,
        "labels": [],
        "labelled": False,
        "has_image": True,
        "has_report": True,
        "text_kind": "report",
    }


def find(folder, given: dict[str, tuple[bytes, str]], **settings):
    """Judgements, listing and summary of images by study, each with its split; all texts but the last are equal."""
    tables.write(pd.DataFrame([study(name, split) for name, (_, split) in given.items()]), folder / "s", tables.STUDIES)
    rows = [{"study_id": name, "image": data} for name, (data, _) in given.items()]
    tables.write(pd.DataFrame(rows), folder / "i", tables.IMAGES)
    words = ["Normal."] * (len(given) - 1) + ["Other."]
    prompts = [
        {"study_id": name, "patient_id": name, "split": split, "text": text, "prompt": "", "origin": "report"}
        for text, (name, (_, split)) in zip(words, given.items(), strict=True)
    ]
    tables.write(pd.DataFrame(prompts), folder / "p", tables.PROMPTS)
    outputs = duplicates.Outputs(
        judgements=folder / "j.parquet", listing=folder / "l.csv", summary=folder / "summary.json"
    )
    inputs = duplicates.Inputs(images=folder / "i", studies=folder / "s", prompts=folder / "p")
    duplicates.run(duplicates.Settings(**settings), inputs, outputs)
    judged = tables.read(outputs.judgements, tables.JUDGEMENTS)
    return judged, pd.read_csv(outputs.listing), files.read_json(outputs.summary)


def test_planted_duplicates_are_found_with_their_kind_and_leaks_named(tmp_path):
    one, two, three = picture(1), picture(2), picture(3)
    grain = np.random.default_rng(9).normal(0, 3, one.shape)
    near = np.clip(three * 0.9 + grain, 0, 255).astype(np.uint8)
    given = {
        "a": (images.encode(one), "train"),
        "b": (images.encode(one), "train"),
        "c": (images.encode(two), "train"),
        "d": (png(two, 1), "test"),
        "e": (images.encode(three), "val"),
        "f": (images.encode(near), "train"),
        "g": (images.encode(picture(4)), "train"),
        "h": (b"no image", "train"),
    }
    judged, listing, summary = find(tmp_path, given)
    kinds = {(row.study_id, row.other): row.kind for row in listing.itertuples()}
    assert kinds == {("b", "a"): "same bytes", ("c", "d"): "same pixels", ("f", "e"): "near"}
    assert listing.set_index("study_id").at["f", "correlation"] > 0.98
    assert sorted(zip(judged.study_id, judged.reason, strict=True)) == [
        *(("b", "duplicate"), ("c", "duplicate"), ("c", "leak"), ("f", "duplicate"), ("f", "leak"))
    ]
    assert (judged.score > 1).all() and judged.set_index("reason").at["leak", "detail"].iloc[
        0
    ] == "same pixels: d (test)"
    assert summary["pairs_across_splits"] == 2 and summary["studies_with_a_text_that_another_has"] == 7
    exact, _, _ = find(tmp_path, given, max_correlation=1.0)
    assert set(exact.study_id) == {"b", "c"}


def test_blocks_of_images_are_compared_with_all_earlier_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", 2)
    given = {
        name: (images.encode(picture(seed)), "train")
        for name, seed in zip("abcdefg", (1, 2, 3, 1, 4, 2, 1), strict=True)
    }
    _, listing, _ = find(tmp_path, given)
    assert {(row.study_id, row.other) for row in listing.itertuples()} == {
        ("d", "a"),
        ("f", "b"),
        ("g", "a"),
        ("g", "d"),
    }


def judgements(rows, split="train"):
    filled = [
        {
            "study_id": name,
            "patient_id": f"p-{name}",
            "split": split,
            "fold": 0,
            "reason": reason,
            "score": score,
            "detail": "",
        }
        for name, reason, score in rows
    ]
    return pd.DataFrame(filled, columns=list(tables.JUDGEMENTS.columns))


ROWS = [
    *(("a", "blank", 0.2), ("a", "noisy", 1.0), ("b", "blank", 1.5), ("b", "noisy", 3.0)),
    *(("c", "blank", 1.1), ("d", "noisy", 0.1), ("a", "unpaired", 0.3), ("d", "unpaired", 2.0)),
]


def decided(**settings):
    return curate.decide(judgements(ROWS), curate.Settings(**settings)).set_index("study_id")


def test_the_highest_score_beyond_the_limit_is_the_reason():
    found = decided()
    assert found.kept.to_dict() == {"a": True, "b": False, "c": False, "d": False}
    assert found.reason.to_dict() == {"a": "", "b": "noisy", "c": "blank", "d": "unpaired"}
    assert found.at["b", "reasons"] == ["noisy", "blank"] and found.at["b", "score"] == 3.0
    assert decided(limit=2.5).kept.to_dict() == {"a": True, "b": False, "c": True, "d": True}
    assert decided(reasons=["blank"]).reason.to_dict() == {"a": "", "b": "blank", "c": "blank", "d": ""}


def test_studies_are_put_back_and_also_rejected_by_list():
    found = decided(put_back=["b"], also_reject=["a"])
    assert found.kept.to_dict() == {"a": False, "b": True, "c": False, "d": False}
    assert found.at["b", "reason"] == "put back" and found.at["b", "reasons"] == ["noisy", "blank"]
    assert found.at["a", "reason"] == "also rejected"


def run_curate(folder, rows=ROWS, **settings):
    tables.write(judgements(rows), folder / "j", tables.JUDGEMENTS)
    names = sorted({row[0] for row in rows})
    pictures = [{"study_id": name, "image": images.encode(picture(ord(name)))} for name in names]
    tables.write(pd.DataFrame(pictures), folder / "i", tables.IMAGES)
    outputs = curate.Outputs(
        curated=folder / "c.parquet", rejected=folder / "r.csv", sheet=folder / "s.png", summary=folder / "s.json"
    )
    curate.run(
        curate.Settings(**{"max_rejected": 1.0, **settings}),
        curate.Inputs(judgements=[folder / "j"], images=folder / "i"),
        outputs,
    )
    return outputs


def test_rejected_studies_are_listed_and_drawn(tmp_path):
    outputs = run_curate(tmp_path, side=40)
    listed = pd.read_csv(outputs.rejected)
    assert listed[["study_id", "reason", "score"]].values.tolist() == [
        ["c", "blank", 1.1],
        ["b", "noisy", 3.0],
        ["d", "unpaired", 2.0],
    ]
    assert files.read_json(outputs.summary)["rejected"] == {"blank": 1, "noisy": 1, "unpaired": 1}
    with Image.open(outputs.sheet) as sheet:
        drawn = np.asarray(sheet)
    assert (drawn < 200).sum() > 3 * 40 * 40 * 0.5
    nobody = run_curate(tmp_path, rows=[("a", "blank", 0.5)])
    assert len(pd.read_csv(nobody.rejected)) == 0 and nobody.sheet.stat().st_size > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"put_back": ["zz"]}, "put_back names 'zz'"),
        ({"also_reject": ["zz"]}, "also_reject names 'zz'"),
        ({"put_back": ["a"], "also_reject": ["a"]}, "has 'a', which also_reject has, too"),
        ({"reasons": ["blnk"]}, "no judge gives the reason 'blnk'"),
        ({"max_rejected": 0.5}, "3 of 4 inputs were rejected"),
    ],
)
def test_wrong_lists_and_too_many_rejected_stop(tmp_path, settings, words):
    with pytest.raises((job.JobError, ValidationError), match=words):
        run_curate(tmp_path, **settings)


def test_what_curation_leaves_out_makes_no_pair(tmp_path):
    outputs = run_curate(tmp_path)
    rows = [
        {"study_id": name, "patient_id": name, "split": "train", "text": "words", "prompt": "", "origin": "report"}
        for name in "abcde"
    ]
    tables.write(pd.DataFrame(rows), tmp_path / "p", tables.PROMPTS)
    built = pairs.Outputs(pairs=tmp_path / "pairs", pixels=tmp_path / "x.npy", rejected=tmp_path / "pr.csv")
    inputs = pairs.Inputs(prompts=tmp_path / "p", images=tmp_path / "i", curated=outputs.curated)
    pairs.run(pairs.Settings(image_size=16), inputs, built)
    assert tables.read(built.pairs, tables.PAIRS).study_id.tolist() == ["a"]
    assert len(images.read_pixels(built.pixels)) == 1
    rejected = pd.read_csv(built.rejected)
    assert dict(zip(rejected.item, rejected.reason, strict=True)) == {
        "b": "curation: noisy",
        "c": "curation: blank",
        "d": "curation: unpaired",
        "e": "no image",
    }


def test_wilsons_interval_is_scipys():
    for found, count in ((0, 7), (3, 7), (7, 7), (240, 250)):
        wanted = binomtest(found, count).proportion_ci(method="wilson")
        got = measure._share(found, count)
        assert (got["recall"], got["low"], got["high"]) == pytest.approx((found / count, *wanted), abs=1e-4)
    assert measure._share(0, 0)["recall"] is None


def test_limits_of_a_measurement_come_from_untouched_studies_of_other_folds():
    random = np.random.default_rng(0)
    scores, fold, untouched = random.normal(0, 1, 300), np.arange(300) % 3, random.random(300) < 0.8
    scores[fold == 0] += 1
    found = measure.exceeds(scores, fold, untouched, 0.1)
    for row in range(300):
        known = [value for value, f, u in zip(scores, fold, untouched, strict=True) if u and f != fold[row]]
        level = min(value for value in known if sum(other > value for other in known) <= 0.1 * len(known))
        assert found[row] == (scores[row] > level)
    with pytest.raises(job.JobError, match="no untouched study is left"):
        measure.exceeds(scores, fold, np.zeros(300, bool), 0.1)


def test_a_measurement_counts_what_was_planted(tmp_path):
    names = [f"s{number:03}" for number in range(220)]
    noise = np.random.default_rng(1).uniform(0, 1, 220)
    ways = {**dict.fromkeys(names[:4], "inverted"), **dict.fromkeys(names[4:8], "not-chest")}
    ways |= {**dict.fromkeys(names[8:12], "unpaired"), names[12]: "duplicated", names[13]: "duplicated"}
    truth = [
        {"study_id": name, "patient_id": f"p-{name}", "way": way, "other": names[100] if way == "duplicated" else ""}
        for name, way in ways.items()
    ]
    high = {**dict.fromkeys(names[:3], ("inverted", 5.0)), names[4]: ("foreign", 4.0), names[5]: ("blank", 4.0)}
    seen = [(name, *high.get(name, ("noisy", value))) for name, value in zip(names, noise, strict=True)]
    seen += [(name, "inverted", 0.0) for name in names[3:4]]
    texts = [
        (name, "unpaired", 9.0 if name in names[8:10] else value) for name, value in zip(names, noise, strict=True)
    ]
    tables.write(pd.DataFrame(truth), tmp_path / "t", tables.CORRUPTED)
    tables.write(judgements(seen), tmp_path / "i", tables.JUDGEMENTS)
    tables.write(judgements(texts), tmp_path / "p", tables.JUDGEMENTS)
    repeated = [(names[12], "duplicate", 1.1), (names[100], "leak", 1.1), (names[150], "duplicate", 1.1)]
    tables.write(judgements(repeated), tmp_path / "d", tables.JUDGEMENTS)
    outputs = measure.Outputs(measures=tmp_path / "m.json", table=tmp_path / "m.csv", picture=tmp_path / "m.png")
    inputs = measure.Inputs(
        truth=tmp_path / "t", images=tmp_path / "i", pairs=tmp_path / "p", duplicates=tmp_path / "d"
    )
    measure.run(measure.Settings(), inputs, outputs)
    table = pd.read_csv(outputs.table).set_index("way")
    assert table.recall.to_dict() == {"inverted": 0.75, "not-chest": 0.5, "unpaired": 0.5, "duplicated": 1.0}
    assert table.own_limit_recall["inverted"] == 0.75 and table.right_reason["not-chest"] == 0.5
    measures = files.read_json(outputs.measures)
    assert measures["images"]["measured_false_rejections"]["share"] <= 0.02
    assert measures["images"]["own_limit_false_rejections"]["share"] == 0
    # 220 without 8 spoilt images, two that repeat and the one that they repeat: one of them is marked.
    assert measures["duplicates"]["own_limit_false_rejections"]["studies"] == 209
    assert measures["duplicates"]["own_limit_false_rejections"]["share"] == pytest.approx(1 / 209, abs=1e-4)
    with Image.open(outputs.picture) as drawn:
        assert drawn.size[0] > 500


def test_judgements_of_another_corpus_are_refused(tmp_path):
    truth = [{"study_id": "zz", "patient_id": "zz", "way": "blank", "other": ""}]
    tables.write(pd.DataFrame(truth), tmp_path / "t", tables.CORRUPTED)
    tables.write(judgements(ROWS), tmp_path / "j", tables.JUDGEMENTS)
    inputs = measure.Inputs(truth=tmp_path / "t", **dict.fromkeys(("images", "pairs", "duplicates"), tmp_path / "j"))
    outputs = measure.Outputs(measures=tmp_path / "m.json", table=tmp_path / "m.csv", picture=tmp_path / "m.png")
    with pytest.raises(job.JobError, match="does not judge study zz"):
        measure.run(measure.Settings(), inputs, outputs)
