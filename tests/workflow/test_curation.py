"""Sets of pairs that are curated or corrupted bring in their jobs; no other study does."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from synvlp.encoders.curation import corrupt, curate, judge_images, measure
from synvlp.encoders.curation.duplicates import DUPLICATE, LEAK
from synvlp.encoders.curation.judge_pairs import UNPAIRED
from synvlp.study import KEYS, Study, StudyError

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
FOLDER = "<results>/encoders/curation/phantom"


def study(sets: dict, used: list[str]) -> Study:
    config = copy.deepcopy(CONFIG)
    config["pair_sets"] |= sets
    config["sources"] |= {name: {name: 1} for name in used}
    return Study(config)


SETS = {
    "spoilt": {"corpus": "phantom", "corrupted": True},
    "cleaned": {"corpus": "phantom", "corrupted": True, "curated": True},
    "curated": {"corpus": "phantom", "curated": True},
}


def test_nothing_is_judged_unless_a_source_asks_for_it():
    for made in (Study(CONFIG), study(SETS, [])):
        assert made.curation.results() == [] and made.curation.curated() == []
        assert not [title for title in made.page()["pictures"] if "uration" in title]
        assert made.curation.decision("real") == []
        assert made.pair_file("real", "images") == "<results>/corpora/phantom/images.parquet"


def test_raw_and_curated_pairs_come_from_one_corrupted_copy():
    made = study(SETS, list(SETS))
    for name in ("spoilt", "cleaned"):
        assert made.pair_file(name, "images") == f"{FOLDER}/corrupted/images.parquet"
        assert made.pair_file(name, "prompts") == f"{FOLDER}/corrupted/prompts.parquet"
    assert made.pair_file("curated", "prompts") == "<results>/reports/phantom/prompts.parquet"
    assert made.curation.decision("spoilt") == []
    assert made.curation.decision("cleaned") == f"{FOLDER}/corrupted/curated.parquet"
    assert made.curation.decision("curated") == f"{FOLDER}/raw/curated.parquet"
    assert set(made.curation.results()) == {
        *(f"{FOLDER}/{version}/{name}" for version in ("raw", "corrupted") for name in ("sheet.png", "rejected.csv")),
        f"{FOLDER}/corrupted/recall.png",
    }
    assert set(made.curation.results()) <= {*made.page()["pictures"].values(), *made.page()["rejected"].values()}


def test_a_corrupted_copy_is_measured_without_being_curated():
    made = study(SETS, ["spoilt"])
    assert made.curation.curated() == [] and made.curation.results() == [f"{FOLDER}/corrupted/recall.png"]


@pytest.mark.parametrize("key", ["curated", "corrupted"])
def test_images_of_a_generator_are_screened_not_curated(key):
    with pytest.raises(StudyError, match=r"pair_sets\.odd: curated and corrupted are for a corpus's own images"):
        study({"odd": {"corpus": "phantom", "generator": "diffusion", key: True}}, ["odd"])


def test_settings_reach_their_jobs():
    config = copy.deepcopy(CONFIG)
    config["encoders"]["curation"]["curate"]["put_back"] = ["a", "b"]
    wildcards = SimpleNamespace(items=lambda: {"corpus": "phantom", "version": "raw"}.items())
    assert "--put-back a b" in Study(config).settings("curate")(wildcards)
    assert KEYS["curate"] == ("encoders.curation.curate",)


def test_every_reason_that_a_judge_gives_can_reject():
    given = {*judge_images.REASONS, UNPAIRED, DUPLICATE, LEAK}
    assert set(curate.Settings.model_fields["reasons"].default) == given
    right = {way: measure.RIGHT.get(way, (way,)) for way in (*corrupt.MEASURED, corrupt.UNPAIRED, corrupt.DUPLICATED)}
    assert {reason for reasons in right.values() for reason in reasons} <= given
