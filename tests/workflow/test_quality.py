"""What a study may say about the quality of its images, and where texts with marks may not go."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from synvlp.study import Study, StudyError, overlaid

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())


class Wildcards(SimpleNamespace):
    def items(self):
        return vars(self).items()


def study(**overlay) -> Study:
    return Study(overlaid(CONFIG, overlay))


def ablation() -> dict:
    """The demo with a second generator, which learns from the same patients' reports with their marks left in."""
    learner = copy.deepcopy(CONFIG["generators"]["diffusion"]) | {"corpus": "marked"}
    sets = [{"generator": "marked", "corpus": "marked"}, {"generator": "marked", "corpus": "phantom"}]
    return {
        "corpora": {"marked": CONFIG["corpora"]["phantom"]},
        "generators": {"marked": learner},
        "reports": {"keep_markers": ["marked"]},
        "images": {"quality": {"measure": True, "image_sets": sets}},
    }


def problem(overlay) -> str:
    with pytest.raises(StudyError) as error:
        study(**overlay)
    return str(error.value)


def test_nothing_is_measured_unless_asked_for():
    quiet = study()
    assert quiet.quality.sets() == [] and quiet.quality.tables("md") == [] and quiet.page()["quality_table"] == {}


def test_the_sets_of_sources_are_measured_and_those_named():
    asked = study(**ablation())
    assert [tuple(item.values()) for item in asked.quality.sets()] == [
        ("diffusion", "phantom"),
        ("marked", "marked"),
        ("marked", "phantom"),
    ]
    assert asked.corpora() == ["marked", "phantom"] and asked.text_corpora() == ["phantom"]
    features = asked.quality.features(Wildcards(generator="marked", corpus="phantom"))
    assert features["real"][0] == "<results>/images/real/marked/features/random.parquet"
    assert features["synthetic"][1] == "<results>/images/marked/phantom/features/real.parquet"
    assert asked.quality.encoder("heads.json") == "<results>/encoders/convirt/real/seed-0/heads.json"


def test_marks_are_kept_in_the_named_corpus_alone():
    asked = study(**ablation())
    for rule in ("anonymize", "write_prompts"):
        flags = {corpus: asked.settings(rule)(Wildcards(corpus=corpus)) for corpus in ("marked", "phantom")}
        assert "--keep-markers true" in flags["marked"] and "--keep-markers false" in flags["phantom"]


@pytest.mark.parametrize("use", ["pair_sets", "generator", "datasets"])
def test_texts_with_marks_go_nowhere_else(use):
    overlay = ablation()
    if use == "datasets":
        overlay["tasks"] = {"datasets": {"findings": {"corpus": "marked"}}}
    else:
        pair_set = {"corpus": "marked"} if use == "pair_sets" else {"corpus": "phantom", "generator": "marked"}
        overlay["pair_sets"] = {"more": pair_set}
    assert "it serves the measures of images.quality alone" in problem(overlay)


def test_the_workflow_alone_decides_where_marks_are_kept():
    assert "keep_markers: there is no such key" in problem({"reports": {"write_prompts": {"keep_markers": True}}})


def test_what_is_missing_is_named():
    wrong = {"measure": True, "spaces": ["real", "inception", "rad-dino"], "encoder": "gloria", "source": "reel"}
    text = problem({"images": {"quality": wrong}, "encoders": {"methods": ["convirt"]}})
    for words in ("needs images.quality.inception_weights", "needs images.quality.rad_dino_folder", "'gloria'"):
        assert words in text
    assert "did you mean 'real'?" in text
    sets = [{"generator": "difusion", "corpus": "phantom"}]
    text = problem({"images": {"quality": {"measure": True, "image_sets": sets}}})
    assert "images.quality.image_sets.0.generator: there is no 'difusion'" in text


def test_images_of_written_reports_are_measured_by_name():
    sets = [{"generator": "diffusion", "corpus": "natural"}]
    written = {"natural": {"corpus": "phantom", "sampling": {"method": "natural"}}}
    overlay = {"concepts": {"written": written}, "images": {"quality": {"measure": True, "image_sets": sets}}}
    asked = study(**overlay)
    assert sets[0] in asked.quality.sets()
    wildcards = Wildcards(**sets[0])
    assert asked.quality.prompts(wildcards) == "<results>/concepts/natural/prompts.parquet"
    assert asked.quality.features(wildcards)["real"][0] == "<results>/images/real/phantom/features/random.parquet"
    sets[0]["corpus"] = "naturel"
    assert "images.quality.image_sets.0.corpus: there is no 'naturel'; there are: phantom, natural" in problem(overlay)


def test_a_study_of_baselines_alone_has_no_encoder_to_measure_with():
    without = {"encoders": {"methods": []}}
    asking = ("findings-asked", "reports", "regions-named")
    text = problem({**without, "images": {"quality": {"measure": True}}})
    assert "images.quality: an encoder is needed" in text and "name one in encoders.methods" in text
    assert all(f"tasks.datasets.{name}: " in text for name in asking), "they ask a text side"
    alone = study(**without, tasks={"datasets": dict.fromkeys(asking)})
    assert [encoder["method"] for encoder in alone.encoders()] == ["random"] and alone.pair_counts() == {}
    assert alone.quality.encoder("heads.json"), "rules ask for it even where nothing is measured"
    scaling = {"tables": {"draw_scaling": {"sources": ["synthetic"]}}}
    assert "tables.draw_scaling.sources: the curve is of encoders that" in problem(without | scaling)
    text = problem({"encoders": {"methods": [], "baselines": []}})
    assert "neither it nor encoders.baselines names an encoder" in text


def test_an_encoder_needs_a_seed():
    assert "encoders.seeds: []: list should have at least 1 item" in problem({"encoders": {"seeds": []}})


def test_published_networks_are_files_from_outside(tmp_path):
    given = {"measure": True, "spaces": ["xrv", "rad-dino"], "xrv_weights": "xrv.safetensors"}
    given["rad_dino_folder"] = str(tmp_path)
    (tmp_path / "preprocessor_config.json").touch()
    asked = study(images={"quality": given})
    names = ["model.safetensors", "config.json", "preprocessor_config.json"]
    wanted = ["xrv.safetensors", *(str(tmp_path / name) for name in names)]
    assert [path for path in asked.files_from_outside() if path != "studies/demo.key"] == wanted
    assert asked.quality.network("config")(Wildcards(space="xrv")) == []


def test_repeats_are_drawn_as_the_images_are_but_more_of_each():
    asked = study(images={"quality": {"measure": True, "images_per_prompt": 6}, "synthesize": {"steps": 9}})
    flags = asked.settings("draw_repeats")(Wildcards(generator="diffusion", corpus="phantom"))
    assert "--copies 6" in flags and "--steps 9" in flags
