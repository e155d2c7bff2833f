"""Judges find what was planted in small drawn corpora, and none judges what it saw."""

import signal

import numpy as np
import pandas as pd
import pytest

from synvlp import job, processes
from synvlp.encoders.curation import corrupt, corruptions, judge_images, judge_pairs, network
from synvlp.store import files, images, tables

SMALL = {"image_size": 32, "folds": 2, "variants": 2, "steps": 150, "batch": 48, "false_rejections": 0.02}


def chest(number: int, place: int | None = None) -> np.ndarray:
    """A body with two lungs and a heart on one side, no two alike; with a bright spot at one of four places."""
    random = np.random.default_rng(number)
    y, x = np.indices((32, 32)) / 32
    wide, high = random.uniform(0.12, 0.16), random.uniform(0.26, 0.32)
    values = random.uniform(130, 160) + 30 * y + random.normal(0, 5, (32, 32))
    for middle in (0.3, 0.7):
        values -= 85 * (((x - middle) / wide) ** 2 + ((y - 0.45) / high) ** 2 < 1)
    values += 75 * (((x - 0.6) / 0.15) ** 2 + ((y - 0.65) / 0.13) ** 2 < 1)
    if place is not None:
        values += 90 * (np.hypot(x - (0.3, 0.7)[place % 2], y - (0.3, 0.55)[place // 2]) < 0.08)
    return np.clip(values, 0, 255).astype(np.uint8)


def study(number: int, **changes) -> dict:
    row = {
        "study_id": f"s{number:03}",
        "patient_id": f"p{number // 2:03}",
        "collection": "x",
        "view": "PA",
        "sex": "",
        "split": (*["train"] * 8, "val", "test")[number // 2 % 10],
        "age": 50.0,
        "labels": [],
        "labelled": False,
        "has_image": True,
        "has_report": True,
        "text_kind": "report",
    }
    return row | changes


def corpus_of(folder, pictures: dict[int, np.ndarray | bytes], **changes) -> judge_images.Inputs:
    rows = [study(number, **changes.get(f"s{number:03}", {})) for number in pictures]
    tables.write(pd.DataFrame(rows), folder / "studies.parquet", tables.STUDIES)
    stored = [
        {"study_id": f"s{number:03}", "image": data if isinstance(data, bytes) else images.encode(data)}
        for number, data in pictures.items()
    ]
    tables.write(pd.DataFrame(stored), folder / "images.parquet", tables.IMAGES)
    return judge_images.Inputs(images=folder / "images.parquet", studies=folder / "studies.parquet")


def outputs_in(folder) -> judge_images.Outputs:
    return judge_images.Outputs(judgements=folder / "judged.parquet", summary=folder / "summary.json")


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNVLP_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


WAYS = corrupt.MEASURED


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """240 images, three of each way spoilt but tiles in disorder, one of a stated lateral view, one that does not open.

    The chests are not symmetric, so that a mirrored one can be told.
    """
    folder = tmp_path_factory.mktemp("judged")
    pictures: dict = {number: chest(number) for number in range(240)}
    planted = {}
    for place, way in enumerate(WAYS * 3):
        number = 6 * place + 1
        planted[f"s{number:03}"] = way
        pictures[number] = corruptions.WAYS[way](pictures[number], np.random.default_rng(place))
    pictures[230] = b"no image"
    inputs = corpus_of(folder, pictures, s231={"view": "Lateral"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNVLP_SCRATCH", str(folder / "scratch"))
        judge_images.run(judge_images.Settings(**SMALL), inputs, outputs_in(folder))
    table = tables.read(folder / "judged.parquet", tables.JUDGEMENTS)
    return planted, table, files.read_json(folder / "summary.json")


def test_planted_corruptions_are_found_and_sound_images_are_not(judged):
    planted, table, summary = judged
    worst = table.sort_values("score", kind="stable").drop_duplicates("study_id", keep="last").set_index("study_id")
    beyond = worst[worst.score > 1]
    found = {way: [name in beyond.index for name, own in planted.items() if own == way] for way in WAYS}
    assert len(planted) == 36 and sum(map(sum, found.values())) >= 34, found
    assert all(sum(own) >= 2 for own in found.values()), found
    others = set(worst.index) - set(planted) - {"s230", "s231"}
    assert len(others & set(beyond.index)) <= 1.5 * SMALL["false_rejections"] * len(others)
    assert worst.loc[["s230", "s231"], "reason"].tolist() == ["unreadable", "wrong-view"]
    assert worst.at["s231", "detail"] == "view Lateral"
    right = [worst.at[name, "reason"] == way for name, way in planted.items() if way in corruptions.LEARNED]
    assert np.mean(right) > 0.8  # what is drawn is named by what it resembles, or foreign
    assert 0.8 < summary["estimated_shares"]["sound"] < 0.95  # 0.84 are
    assert min(summary["told_rightly_when_held_out"].values()) > 0.7


def test_an_image_changes_no_other_judgement_of_its_fold(tmp_path, monkeypatch):
    """Were a network to see one image of the fold that it judges, another image there would change them all."""
    seen = []
    joined = judge_images._joined
    monkeypatch.setattr(judge_images, "_joined", lambda *given: seen.append(joined(*given)) or seen[-1])
    settings = judge_images.Settings(**{**SMALL, "steps": 3, "variants": 1, "folds": 3})
    pictures: dict = {number: chest(number) for number in range(60)}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        judge_images.run(settings, corpus_of(tmp_path / name, pictures), outputs_in(tmp_path / name))
        pictures[4] = 255 - pictures[4][::-1]
    before, after = seen
    same = before.fold == before.fold[4]
    same[[4, 5]] = False  # its patient's
    assert np.array_equal(before.classes[same], after.classes[same])
    assert np.array_equal(before.distance[same], after.distance[same])
    others = before.fold != before.fold[4]
    assert (before.classes[others] != after.classes[others]).any(1).all()  # these networks did see it
    assert not np.array_equal(before.classes[4], after.classes[4])


def test_judging_again_gives_the_same_bytes_also_after_a_stop(tmp_path, stopped):
    settings = judge_images.Settings(**{**SMALL, "steps": 3, "variants": 1})
    inputs = corpus_of(tmp_path, {number: chest(number) for number in range(40)})
    whole, again = outputs_in(tmp_path / "whole"), outputs_in(tmp_path / "again")
    judge_images.run(settings, inputs, whole)
    status, text = stopped(job.command("judge-images", settings, inputs, again), signal.SIGTERM)
    assert status == processes.STOPPED, text
    assert "at step 2 of 3 of model 1 of 2; the next start goes on from there" in text.splitlines()[-1]
    judge_images.run(settings, inputs, again)
    assert [path.read_bytes() for path in again.paths()] == [path.read_bytes() for path in whole.paths()]


def test_too_few_images_and_foreign_tables_stop(tmp_path):
    inputs = corpus_of(tmp_path, {number: chest(number) for number in range(12)})
    with pytest.raises(job.JobError, match="at least 8 are needed"):
        judge_images.run(judge_images.Settings(**SMALL), inputs, outputs_in(tmp_path))
    tables.write(pd.DataFrame([study(0)]), tmp_path / "studies.parquet", tables.STUDIES)
    with pytest.raises(job.JobError, match="lacks 11 of the studies"):
        judge_images.run(judge_images.Settings(**SMALL), inputs, outputs_in(tmp_path))


def test_the_network_learns_as_many_sound_images_as_corrupted_ones():
    assert network.SHARES.sum() == pytest.approx(1) and network.SHARES[0] == 0.5
    assert len(network.SHARES) == len(corruptions.LEARNED) + 1


def pairs_of(folder, count=320, wrong=()):
    """Images with a spot at one of four places and texts that say where; those of `wrong` say another place."""
    side, height = ("right", "left"), ("upper", "lower")
    rows, stored = [], []
    for number in range(count):
        place = int(np.random.default_rng(number).integers(4))
        said = (place + 1) % 4 if number in wrong else place
        text = f"Nodule in the {side[said % 2]} {height[said // 2]} zone. Heart {('normal', 'large')[number % 2]}."
        named = {key: study(number)[key] for key in ("study_id", "patient_id", "split")}
        rows.append({**named, "text": text, "prompt": text, "origin": "report"})
        stored.append({"study_id": named["study_id"], "image": images.encode(chest(number, place))})
    tables.write(pd.DataFrame(rows), folder / "prompts.parquet", tables.PROMPTS)
    tables.write(pd.DataFrame(stored), folder / "images.parquet", tables.IMAGES)
    return judge_pairs.Inputs(images=folder / "images.parquet", prompts=folder / "prompts.parquet")


def judge(folder, inputs, **settings):
    outputs = judge_pairs.Outputs(judgements=folder / "pairs.parquet", summary=folder / "pairs.json")
    judge_pairs.run(
        judge_pairs.Settings(**{"image_size": 32, "folds": 2, "assumed": 0.05, **settings}), inputs, outputs
    )
    frame = tables.read(outputs.judgements, tables.JUDGEMENTS).set_index("study_id")
    return frame, files.read_json(outputs.summary), outputs


def test_texts_of_other_images_are_found(tmp_path):
    wrong = range(5, 320, 32)
    frame, summary, outputs = judge(tmp_path, pairs_of(tmp_path, wrong=wrong))
    planted = [f"s{number:03}" for number in wrong]
    assert (frame.score[planted] > 1).sum() >= 6
    assert (frame.score.drop(planted) > 1).mean() <= 0.02
    assert summary["own_above_other"] > 0.85 and summary["pairs"] == 320
    first = outputs.judgements.read_bytes()
    judge(tmp_path, pairs_of(tmp_path, wrong=wrong))
    assert outputs.judgements.read_bytes() == first


def test_no_pair_is_judged_by_a_model_that_saw_its_patient(tmp_path, monkeypatch):
    calls, judge_fold = [], judge_pairs.judge_fold

    def spied(frame, described, learn, judged, settings):
        blind = frame.copy()
        blind.loc[np.setdiff1d(np.arange(len(frame)), [*learn, *judged]), "text"] = "never read"
        calls.append((frame, learn, judged))
        return judge_fold(blind, described, learn, judged, settings)

    monkeypatch.setattr(judge_pairs, "judge_fold", spied)
    judge(tmp_path, pairs_of(tmp_path, count=90), folds=3)
    assert sorted(np.concatenate([judged for _, _, judged in calls])) == list(range(90))
    for frame, learn, judged in calls:
        assert not set(frame.patient_id.iloc[learn]) & set(frame.patient_id.iloc[judged])
        assert set(frame.split.iloc[learn]) == {"train"}


def test_information_is_the_difference_of_two_log_densities():
    from scipy.stats import norm

    random = np.random.default_rng(0)
    model = judge_pairs.Model(left=np.array([0.5, 2.0]), spread=np.array([1.0, 3.0]))
    predicted, texts = random.normal(0, 1, (2, 5, 2))
    wanted = norm.logpdf(texts, predicted, np.sqrt(model.left)) - norm.logpdf(texts, 0, np.sqrt(model.spread))
    assert model.information(predicted, texts) == pytest.approx(wanted.sum(1))


def test_pairs_that_cannot_be_judged_stop(tmp_path):
    with pytest.raises(job.JobError, match="at least 16 are needed"):
        judge(tmp_path, pairs_of(tmp_path, count=20))
    inputs = pairs_of(tmp_path, count=90)
    frame = tables.read(inputs.prompts, tables.PROMPTS)
    tables.write(frame.assign(text=[f"word{row}" for row in range(90)]), inputs.prompts, tables.PROMPTS)
    with pytest.raises(job.JobError, match="no word stands in two texts"):
        judge(tmp_path, inputs)
