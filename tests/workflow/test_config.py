"""A wrong config stops everything before any job, and says what is wrong and what is allowed."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from pydantic import BaseModel

from synvlp import cli
from synvlp.study import METHODS, PRETRAINING, Study, StudyError, options, overlaid

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def changed(**at: object) -> dict:
    """The default config with values set at dotted paths (`__` stands for the dot)."""
    config = copy.deepcopy(CONFIG)
    for path, value in at.items():
        *parents, last = path.split("__")
        part = config
        for key in parents:
            part = part.setdefault(key, {})
        part[last] = value
    return config


def problem(**at: object) -> str:
    with pytest.raises(StudyError) as error:
        Study(changed(**at))
    return str(error.value)


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_is_valid_without_its_data(path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert cli.check([str(path)]) == 0, capsys.readouterr().err
    assert f"study {path.stem}: the config is valid" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"- study: mine\n", "overlay.yaml: a mapping of keys is needed (study: …), not a list"),
        (b"mine\n", "overlay.yaml: a mapping of keys is needed (study: …), not a str"),
        ("study: Röntgen\n".encode("latin-1"), "overlay.yaml is no YAML file in UTF-8: 'utf-8' codec can't decode"),
        (b"study: [\n", "overlay.yaml is no YAML file in UTF-8: while parsing"),
        (None, "overlay.yaml: No such file or directory"),
    ],
    ids=["list", "text", "Latin-1", "broken", "absent"],
)
@pytest.mark.parametrize("words", [["check"], ["doctor"], ["plan"], ["why", "all"], ["record"], ["dvc-yaml"]])
def test_an_overlay_that_cannot_be_used_is_named(tmp_path, monkeypatch, capsys, words, content, said):
    (tmp_path / "config.yaml").symlink_to(ROOT / "config.yaml")
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("overlay.yaml").write_bytes(content)
    assert cli.main([*words, "overlay.yaml"]) == 1
    assert f"synvlp {words[0]}: {said}" in capsys.readouterr().err


def test_an_empty_overlay_changes_nothing(tmp_path, monkeypatch, capsys):
    (tmp_path / "config.yaml").symlink_to(ROOT / "config.yaml")
    (tmp_path / "overlay.yaml").write_text("# nothing yet\n")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "overlay.yaml"]) == 0, capsys.readouterr().err


def unnamed(part: object, written: dict, place: str = "") -> list[str]:
    """The settings of a checked part of a study that its YAML leaves to their defaults, as dotted keys."""
    if isinstance(part, BaseModel):
        part = {name: getattr(part, name) for name in type(part).model_fields}
    elif not (isinstance(part, dict) and any(isinstance(item, BaseModel) for item in part.values())):
        return []
    found = []
    for name, item in part.items():
        key = f"{place}.{name}".lstrip(".")
        empty = isinstance(item, BaseModel) and not type(item).model_fields  # a job without settings to choose
        if name in written:
            found += unnamed(item, written[name] or {}, key)
        elif not empty:
            found.append(key)
    return found


def test_the_default_config_names_every_setting_of_what_it_uses():
    assert unnamed(Study(CONFIG).parts, CONFIG) == [], "config.yaml lacks these keys"
    shared = CONFIG["encoders"]["pretrain"]
    for method in METHODS:
        known = set(options(f"encoders.{method}", *PRETRAINING).model_fields)
        assert known - set(shared) == set(CONFIG["encoders"][method]), f"config.yaml, encoders.{method}"


def test_a_setting_that_the_config_leaves_out_is_named():
    short = changed()
    del short["generators"]["diffusion"]["train_diffusion"]["min_snr"], short["tasks"]["encode"]
    found = set(unnamed(Study(short).parts, short)) - set(unnamed(Study(CONFIG).parts, CONFIG))
    assert found == {"generators.diffusion.train_diffusion.min_snr", "tasks.encode"}


def test_a_typo_names_itself_its_value_and_the_nearest_key():
    text = problem(images__synthesize__guidence=3.0)
    assert "images.synthesize.guidence" in text and "3.0" in text and "'guidance'" in text


def test_a_typo_in_shared_settings_of_pretraining():
    text = problem(encoders__pretrain__stepz=3)
    assert "stepz" in text and "'steps'" in text


def test_a_wrong_value_says_what_is_allowed():
    text = problem(images__shards=0)
    assert "images.shards: 0" in text and "greater than or equal to 1" in text


def test_a_wrong_kind_lists_the_kinds():
    text = problem(corpora__phantom__kind="fantom")
    assert "corpora.phantom" in text and "'phantom'" in text and "'manifest'" in text


def test_a_name_that_does_not_exist():
    text = problem(sources__mixed={"real": 1, "sinthetic": 1})
    assert "sources.mixed" in text and "did you mean 'synthetic'?" in text


def test_every_problem_is_listed_at_once():
    text = problem(images__shards=0, encoders__seeds="x")
    assert "images.shards" in text and "encoders.seeds" in text


def test_null_removes_an_entry():
    study = Study(overlaid(CONFIG, {"sources": {"mixed": None}}))
    assert "mixed" not in study.parts.sources


def test_the_order_of_keys_does_not_matter():
    class W(dict):
        pass

    turned = overlaid(CONFIG, {})
    turned["images"] = dict(reversed(list(CONFIG["images"].items())))
    turned["images"]["synthesize"] = dict(reversed(list(CONFIG["images"].get("synthesize", {}).items())))
    wildcards = W(generator="diffusion", shard="1")
    assert Study(CONFIG).settings("synthesize")(wildcards) == Study(turned).settings("synthesize")(wildcards)


def test_files_from_outside_are_known_without_being_there(monkeypatch):
    monkeypatch.setenv("MIMIC_CXR", "/data/mimic")
    monkeypatch.delenv("ROENTGEN", raising=False)
    study = Study(overlaid(CONFIG, yaml.safe_load((ROOT / "studies/paper.yaml").read_text())))
    outside = study.files_from_outside()
    assert {"/data/mimic/manifest.csv", "models/roentgen/model_index.json"} <= set(outside)
    assert Study(CONFIG).files_from_outside() == ["studies/demo.key"]


def test_environment_variables(monkeypatch):
    monkeypatch.setenv("SYNVLP_OPEN_CXR", "here/open")
    study = Study(overlaid(CONFIG, yaml.safe_load((ROOT / "studies/open.yaml").read_text())))
    assert study.parts.corpora["open"].path == "here/open/manifest.csv"


def test_a_rule_asks_for_a_gpu_and_a_thread_for_each_process():
    class Wildcards(SimpleNamespace):
        def items(self):
            return vars(self).items()

    study = Study(changed(encoders__pretrain__processes=4, generators__diffusion__train_diffusion__processes=2))
    wildcards = Wildcards(method="gloria", source="real", seed="0", generator="diffusion")
    assert study.processes("pretrain")(wildcards) == 4
    assert study.processes("train_diffusion")(wildcards) == 2
    assert study.processes("train_autoencoder")(wildcards) == 1
