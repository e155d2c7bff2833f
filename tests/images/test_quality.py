"""The jobs that measure quality, on sets of features and images in which the answer is planted."""

import numpy as np
import pandas as pd
import pytest

from synvlp import job
from synvlp.images.quality import agreement, diversity, fidelity, memorization, repeats
from synvlp.store import files, images, tables

SIDE = 64


class World:
    """A corpus of 60 patients with two studies each, its images, and one drawn image per train and val study.

    A real image's features are those of its patient with some of its own; drawn ones are new unless a test plants
    copies. The label `effusion` shifts feature 0, and so it does in drawn images.
    """

    def __init__(self, folder, seed=0):
        self.folder, self.random = folder, np.random.default_rng(seed)
        self.studies = pd.DataFrame(
            [
                {
                    "study_id": f"s{patient:02d}{number}",
                    "patient_id": f"p{patient:02d}",
                    "split": "train" if patient < 36 else "val" if patient < 48 else "test",
                    "labels": ["effusion"] if self.random.random() < 0.5 else [],
                    "has_image": True,
                    "labelled": True,
                    "collection": "one",
                    "age": 50.0,
                }
                for patient in range(60)
                for number in range(2)
            ]
        )
        self.effused = self.studies["labels"].map(bool).to_numpy()
        self.real = self.drawn_like(self.effused) + np.repeat(self.random.normal(size=(60, 6)) * 0.3, 2, axis=0)
        self.prompts = self.studies[["study_id", "patient_id", "split"]].assign(
            text="No words.", prompt=[f"Text {number // 2}." for number in range(120)], origin="report"
        )
        self.asked = (self.studies["split"] != "test").to_numpy()
        self.synthetic = self.drawn_like(self.effused[self.asked])

    def drawn_like(self, effused):
        features = self.random.normal(size=(len(effused), 6))
        features[:, 0] += 3 * effused
        return features

    def write(self):
        """Paths of everything, by the names of the jobs' inputs."""
        ids = self.studies["study_id"]
        rest = dict.fromkeys(("view", "sex", "text_kind"), "") | {"has_report": True}
        paths = {name: self.folder / f"{name}.parquet" for name in ("studies", "prompts", "real", "synthetic")}
        tables.write(self.studies.assign(**rest), paths["studies"], tables.STUDIES)
        tables.write(self.prompts, paths["prompts"], tables.PROMPTS)
        for name, owners, features in (
            ("real", ids, self.real),
            ("synthetic", ids[self.asked], self.synthetic),
        ):
            frame = pd.DataFrame({"study_id": list(owners), "draw": 0, "features": list(features.astype(np.float32))})
            tables.write(frame, paths[name], tables.EMBEDDED)
        picture = images.encode(np.arange(256, dtype=np.uint8).reshape(16, 16))
        paths |= {name: self.folder / f"{name}.parquet" for name in ("real_images", "synthetic_images")}
        tables.write(pd.DataFrame({"study_id": ids, "image": picture}), paths["real_images"], tables.IMAGES)
        tables.write(shard(ids[self.asked], [picture] * self.asked.sum()), paths["synthetic_images"], tables.SHARD)
        return paths


def shard(studies, pictures, draws=None):
    frame = pd.DataFrame({"study_id": list(studies), "image": pictures, "draw": draws or 0})
    return frame.assign(prompt="p", seed=1, accepted=True, reason="", mean=0.0, deviation=1.0, saturated=0.0)


def chosen(paths, module):
    """The module's inputs; a file for each of its spaces where it wants a list."""
    fields = module.Inputs.model_fields
    return module.Inputs(
        **{
            name: [path] if name in ("real", "synthetic") and module is not agreement else path
            for name, path in paths.items()
            if name in fields
        }
    )


def found(path):
    """The measures of a file by measure and group."""
    return {(row["measure"], row["group"]): row for row in files.read_json(path)["measures"]}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def faithful(world, **settings):
    outputs = fidelity.Outputs(fidelity=world.folder / "fidelity.json")
    given = fidelity.Settings(**{"spaces": ["real"], "neighbours": 3, "resamples": 40} | settings)
    fidelity.run(given, chosen(world.write(), fidelity), outputs)
    return outputs.fidelity


def test_fidelity_of_a_good_set_is_near_its_floor_and_of_a_shifted_one_is_not(world):
    good = found(faithful(world))
    world.synthetic += 6
    bad = found(faithful(world))
    for name in ("fid", "kid"):
        assert good[name, ""]["value"] < 5 * abs(good[name, ""]["reference"]) + 1
        assert bad[name, ""]["low"] > 10 * abs(bad[name, ""]["reference_high"])
        assert bad[name, ""]["low"] < bad[name, ""]["value"] < bad[name, ""]["high"]
        assert good[name, ""]["reference"] == bad[name, ""]["reference"]  # the floor knows nothing of drawn images
    for name in ("precision", "recall", "coverage"):
        assert good[name, ""]["value"] > 0.6 > 0.1 > bad[name, ""]["value"]
        assert good[name, ""]["reference_kind"] == "ceiling"
    assert good["fid", ""]["n"] == good["fid", ""]["reference_n"] == 24  # val prompts; a half of the patients has 24


def test_halves_share_no_patient_and_all_sets_are_equally_large(world):
    from synvlp.images.quality import sets

    paths = world.write()
    real, drawn = sets.real(paths["real"], paths["studies"]), sets.synthetic(paths["synthetic"], paths["prompts"])
    compared = fidelity.choose(real, drawn, fidelity.Settings(neighbours=3, max_images=21), "real")
    assert len(compared.first) == len(compared.second) == len(compared.synthetic) == 21
    assert not set(compared.first.patients) & set(compared.second.patients)
    assert set(compared.first.rows["split"]) == {"val", "test"} and set(compared.synthetic.rows["split"]) == {"val"}


def test_fidelity_is_the_same_again_and_needs_no_order(world):
    first = faithful(world).read_bytes()
    again = World(world.folder)
    order = np.random.default_rng(1).permutation(120)
    again.studies, again.prompts = again.studies.iloc[order], again.prompts.iloc[order[::-1]]
    again.real, again.asked = again.real[order], again.asked[order]
    synthetic = dict(zip(world.studies["study_id"][world.asked], world.synthetic, strict=True))
    again.synthetic = np.stack([synthetic[study] for study in again.studies["study_id"][again.asked]])
    assert faithful(again).read_bytes() == first


def test_few_images_are_said_to_be_few(world):
    world.real, world.synthetic = np.tile(world.real, 5), np.tile(world.synthetic, 5)
    assert "fewer images than features in real" in " ".join(files.read_json(faithful(world))["notes"])
    with pytest.raises(job.JobError, match=r"synthetic images .* 60 are needed"):
        faithful(world, neighbours=29, real_splits=["train", "val", "test"])
    with pytest.raises(job.JobError, match="0 synthetic images"):
        faithful(world, synthetic_splits=["test"])


def test_features_that_are_not_finite_are_refused(world):
    world.real[3, 2] = np.nan
    with pytest.raises(job.JobError, match="1 images are not finite, the first is of s011"):
        faithful(world)


def test_images_without_a_study_are_refused(world):
    paths = world.write()
    tables.write(world.prompts[world.prompts["study_id"] != "s000"], paths["prompts"], tables.PROMPTS)
    outputs = fidelity.Outputs(fidelity=world.folder / "fidelity.json")
    with pytest.raises(job.JobError, match="1 images belong to no study"):
        fidelity.run(fidelity.Settings(spaces=["real"]), chosen(paths, fidelity), outputs)


def remembered(world):
    folder = world.folder
    outputs = memorization.Outputs(
        memorization=folder / "memorization.json",
        nearest=folder / "nearest.parquet",
        table=folder / "nearest.csv",
        pairs=folder / "pairs.png",
    )
    given = memorization.Settings(spaces=["real"], resamples=60, shown=2)
    memorization.run(given, chosen(world.write(), memorization), outputs)
    return outputs


def copies(world, share):
    """Let drawn images of a share of the training prompts be their study's own image, nearly."""
    planted = np.flatnonzero((world.studies["split"] == "train").to_numpy())[: round(72 * share)]
    world.synthetic[: len(planted)] = world.real[planted] + world.random.normal(size=(len(planted), 6)) * 1e-3
    return set(world.studies["study_id"].iloc[planted])


def test_new_images_show_no_memorization(world):
    measures = found(remembered(world).memorization)
    for group in ("training prompts", "held-out prompts"):
        row = measures["nearer_train", group]
        assert row["low"] <= 0.5 <= row["high"] and row["reference_low"] <= 0.5 <= row["reference_high"]
    own = measures["own_nearer", "training prompts"]
    assert own["low"] < own["reference_high"]
    assert ("own_nearer", "held-out prompts") not in measures  # that is the reference


def test_planted_copies_are_found_by_every_measure(world):
    before = found(remembered(world).memorization)
    planted = copies(world, 0.5)
    outputs = remembered(world)
    measures = found(outputs.memorization)
    group = "training prompts"
    assert measures["nearer_train", group]["low"] > max(0.5, before["nearer_train", group]["value"])
    assert measures["close", group]["value"] >= 0.5 and measures["close", group]["low"] > 0.06
    assert measures["neighbour_ratio", group]["value"] < 0.05 < 0.3 < measures["neighbour_ratio", group]["reference"]
    assert measures["own_nearer", group]["low"] > before["own_nearer", group]["high"]
    for name in ("nearer_train", "close", "neighbour_ratio"):
        assert measures[name, "held-out prompts"] == before[name, "held-out prompts"]
    nearest = tables.read(outputs.nearest, tables.NEAREST)
    assert set(nearest["study_id"][nearest["distance"] < 0.01]) == planted
    assert (nearest["nearest"] == nearest["study_id"])[nearest["distance"] < 0.01].all()
    assert outputs.pairs.read_bytes()[:4] == b"\x89PNG"


def test_prompts_with_marks_are_a_group_of_their_own(world):
    copies(world, 0.5)
    copied = world.studies["study_id"].isin(world.studies["study_id"].iloc[:36])
    world.prompts["origin"] = np.where(copied, f"{tables.MARKED}report", "report")
    measures = found(remembered(world).memorization)
    marked, clean = (measures["close", f"training prompts {words} marks"] for words in ("with", "without"))
    assert marked["value"] == 1 and marked["n"] == 36 and clean["value"] < 0.3 and clean["n"] == 36


def test_written_prompts_are_one_group_and_none_of_training(world):
    world.prompts["origin"] = "written"
    written = found(remembered(world).memorization)
    assert {group for _, group in written} == {"written prompts"}
    assert written["nearer_train", "written prompts"]["n"] == world.asked.sum()
    assert not any(measure == "own_nearer" for measure, _ in written)


def test_memorization_needs_held_out_images(world):
    world.studies["split"] = "train"
    with pytest.raises(job.JobError, match="0 held-out images in the splits val, test"):
        remembered(world)


def test_the_chosen_prompts_are_different_and_held_out(world):
    paths, out = world.write(), world.folder / "selected.parquet"
    repeats.run(repeats.Settings(count=5), repeats.Inputs(prompts=paths["prompts"]), repeats.Outputs(selected=out))
    chosen_rows = tables.read(out, tables.PROMPTS)
    assert len(chosen_rows) == chosen_rows["prompt"].nunique() == 5 and set(chosen_rows["split"]) == {"val"}
    world.prompts["prompt"] = ["All the same.", "All  the same"] * 60
    with pytest.raises(job.JobError, match="1 different prompts"):
        repeats.run(repeats.Settings(), repeats.Inputs(prompts=world.write()["prompts"]), repeats.Outputs(selected=out))


def textures(generator, count):
    """Smooth random pictures, uint8 (count, 64, 64)."""
    coarse = generator.integers(0, 256, (count, 8, 8)).astype(np.uint8)
    return [images.resize(item, SIDE) for item in coarse]


def varied(world, within):
    """MS-SSIM of three images of each of six prompts, each mixed from the prompt's picture and one of its own."""
    paths = world.write()
    studies = list(world.studies["study_id"][world.studies["split"] == "val"][:6])
    base, own = textures(world.random, 6), textures(world.random, 18)
    mixed = [images.encode(np.uint8(within * own[number] + (1 - within) * base[number // 3])) for number in range(18)]
    frame = shard(np.repeat(studies, 3), mixed, [0, 1, 2] * 6)
    tables.write(frame, world.folder / "repeats.parquet", tables.SHARD)
    pictures = [images.encode(item) for item in textures(world.random, 120)]
    tables.write(
        pd.DataFrame({"study_id": world.studies["study_id"], "image": pictures}), paths["real_images"], tables.IMAGES
    )
    outputs = diversity.Outputs(diversity=world.folder / "diversity.json", by_prompt=world.folder / "diversity.csv")
    given = {**paths, "repeats": world.folder / "repeats.parquet"}
    diversity.run(diversity.Settings(resamples=50), chosen(given, diversity), outputs)
    return outputs


def test_diversity_tells_variety_from_repetition(world):
    repeated = found(varied(world, 0.02).diversity)
    free = found(varied(world, 1.0).diversity)
    same, other = ("ms_ssim", "images of one prompt"), ("ms_ssim", "images of different prompts")
    assert repeated[same]["value"] > 0.95 and repeated[other]["high"] < 0.6
    assert abs(free[same]["value"] - free[other]["value"]) < 0.15
    assert free[same]["n"] == 6 and free[other]["n"] == 3 and free[same]["reference_n"] == 12
    counts = files.read_json(world.folder / "diversity.json")["counts"]
    assert counts["scales"] == 3 and counts["size"] == SIDE
    assert len(pd.read_csv(world.folder / "diversity.csv")) == 6


def test_single_images_of_prompts_are_refused(world):
    paths = world.write()
    given = {**paths, "repeats": paths["synthetic_images"]}
    outputs = diversity.Outputs(diversity=world.folder / "a.json", by_prompt=world.folder / "a.csv")
    with pytest.raises(job.JobError, match="no prompt has two"):
        diversity.run(diversity.Settings(), chosen(given, diversity), outputs)


@pytest.fixture
def without_retrieval(monkeypatch):
    monkeypatch.setattr(agreement, "own_prompts", lambda settings, inputs: ([], [], {}))


def agreed(world, **settings):
    paths = world.write()
    named = dict.fromkeys(agreement.encoder_files.Encoder.model_fields, paths["real"])
    more = {"prompt_studies": paths["studies"], "real_prompts": paths["prompts"]}
    outputs = agreement.Outputs(agreement=world.folder / "a.json", by_image=world.folder / "a.parquet")
    inputs = chosen({**paths, **more, **named}, agreement)
    agreement.run(agreement.Settings(**{"resamples": 40} | settings), inputs, outputs)
    return outputs


@pytest.mark.usefixtures("without_retrieval")
def test_agreement_with_planted_labels(world):
    outputs = agreed(world)
    row = found(outputs.agreement)["auroc", "effusion"]
    assert row["value"] > 0.9 and row["reference"] > 0.9 and row["low"] > 0.75
    assert row["n"] == 24 and row["reference_n"] == 48 and row["reference_kind"] == "ceiling"
    assert found(outputs.agreement)["auroc", "mean of findings"]["value"] == row["value"]
    scores = tables.read(outputs.by_image, tables.AGREEMENT)
    assert scores.groupby("kind").size().to_dict() == {"real": 48, "synthetic": 24}
    world.synthetic = world.drawn_like(world.random.random(world.asked.sum()) < 0.5)  # no longer what was asked for
    wrong = found(agreed(world).agreement)["auroc", "effusion"]
    assert wrong["low"] < 0.5 < wrong["high"] + 0.1 and wrong["value"] < 0.75
    assert wrong["reference"] == row["reference"]


@pytest.mark.usefixtures("without_retrieval")
def test_findings_are_asked_for_within_one_collection(world):
    """Effusion is frequent in one collection, which its images show, and images show nothing else of it."""
    first = np.arange(120) // 2 % 2 == 0
    with_it = (np.arange(120) // 4 * 2 + np.arange(120) % 2) % 6 == 0
    with_it = np.where(first, ~with_it, with_it)
    world.studies["collection"] = np.where(first, "one", "two")
    world.studies["labels"] = [["effusion"] if shown else [] for shown in with_it]
    world.real, world.synthetic = world.drawn_like(first), world.drawn_like(first[world.asked])
    mixed = found(agreed(world).agreement)["auroc", "effusion"]
    within = found(agreed(world, collection="one", min_cases=2).agreement)["auroc", "effusion"]
    assert mixed["value"] > 0.7 and mixed["reference_low"] > 0.55  # though no image shows an effusion
    assert within["n"] == 12 and within["reference_n"] == 24 and within["reference_low"] < 0.5
    with pytest.raises(job.JobError, match="collection = three: labelled real images are only of one, two"):
        agreed(world, collection="three")


@pytest.mark.usefixtures("without_retrieval")
def test_findings_that_cannot_be_asked_for_are_named(world):
    world.studies.at[0, "labels"] = ["nodule"]
    value = files.read_json(agreed(world, labels=["effusion", "nodule", "unheard of"]).agreement)
    assert set(value["counts"]["findings_left_out"]) == {"nodule", "unheard of"}
    assert "fewer than 10 training images" in value["counts"]["findings_left_out"]["nodule"]


@pytest.mark.usefixtures("without_retrieval")
def test_prompts_without_labels_are_said_to_have_none(world):
    paths = world.write()
    named = dict.fromkeys(agreement.encoder_files.Encoder.model_fields, paths["real"])
    inputs = chosen({**paths, "real_prompts": paths["prompts"], **named}, agreement)
    outputs = agreement.Outputs(agreement=world.folder / "a.json", by_image=world.folder / "a.parquet")
    agreement.run(agreement.Settings(), inputs, outputs)
    assert files.read_json(outputs.agreement)["counts"]["findings_left_out"] == {"all": "the prompts have no labels"}
    assert tables.read(outputs.by_image, tables.AGREEMENT).empty


class Aligned:
    """An encoder of images and texts that knows the picture of each text; half of the images are of another text."""

    def images(self, pixels):
        return np.eye(40)[pixels[:, 0, 0]]

    def texts(self, given):
        return np.eye(40)[[int(text.strip(".").split()[1]) - 36 for text in given]]


def test_own_prompts_are_found_among_candidates(world, monkeypatch):
    from synvlp.models import alignment

    monkeypatch.setattr(alignment, "open_encoder", lambda inputs, settings: Aligned())
    paths = world.write()
    places = np.arange(120) // 2 - 36  # of each study's text, from the first one of val

    def pictures(shown):
        return [images.encode(np.full((8, 8), max(place, 0), np.uint8)) for place in shown]

    wrong = np.where(np.arange(120) % 2, places, (places + 1) % 12)
    ids = world.studies["study_id"]
    tables.write(pd.DataFrame({"study_id": ids, "image": pictures(places)}), paths["real_images"], tables.IMAGES)
    drawn = shard(ids[world.asked], pictures(wrong[world.asked]))
    tables.write(drawn, paths["synthetic_images"], tables.SHARD)
    more = {"prompt_studies": paths["studies"], "real_prompts": paths["prompts"]}
    named = dict.fromkeys(agreement.encoder_files.Encoder.model_fields, paths["real"])
    inputs = chosen({**paths, **more, **named}, agreement)
    measures, rows, counts = agreement.own_prompts(agreement.Settings(resamples=20), inputs)
    first = measures[0]
    assert counts["candidates"] == 12 and counts["chance_at_1"] == round(1 / 12, 4)
    assert first.measure == "recall_at_1" and first.group == "of 12 prompts"
    assert first.found.value == 0.5 and first.found.n == 24 and first.reference.value == 1.0
    assert [set(part["label"]) for part in rows] == [{""}, {""}]


class Constant:
    """An encoder that answers every image with the text of place 0, and ranks the others by their place."""

    def images(self, pixels):
        return np.ones((len(pixels), 1))

    def texts(self, given):
        return np.array([[-float(text.strip(".").split()[1])] for text in given])


def test_a_frequent_prompt_counts_no_more_than_a_rare_one(world, monkeypatch):
    """Of the 24 images of val, 14 have one prompt and 10 their own; always to answer the frequent one is chance."""
    from synvlp.models import alignment

    monkeypatch.setattr(alignment, "open_encoder", lambda inputs, settings: Constant())
    val = (world.studies["split"] == "val").to_numpy()
    world.prompts.loc[val, "prompt"] = [f"Text {max(place - 13, 0)}." for place in range(24)]
    world.prompts.loc[~val, "prompt"] = "Text 0."
    paths = world.write()
    more = {"prompt_studies": paths["studies"], "real_prompts": paths["prompts"]}
    named = dict.fromkeys(agreement.encoder_files.Encoder.model_fields, paths["real"])
    inputs = chosen({**paths, **more, **named}, agreement)
    measures, _, counts = agreement.own_prompts(agreement.Settings(resamples=20, real_splits=["val"]), inputs)
    assert counts["candidates"] == 11
    for measure, k in zip(measures, (1, 5, 10), strict=True):
        assert measure.found.value == pytest.approx(k / 11) == measure.reference.value
