"""A wrong config stops everything before any job, and says what is wrong and what is allowed."""

import copy
import re
import shutil
import subprocess
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


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (
            {"tasks__classify__fractions": [2.0]},
            "tasks.classify.fractions.0: 2.0: input should be less than or equal to 1",
        ),
        ({"tasks__classify__seeds": [-1]}, "tasks.classify.seeds.0: -1: input should be greater than or equal to 0"),
        ({"tasks__detect__seeds": [1, 1]}, "tasks.detect.seeds: [1, 1]: has 1 more than once"),
        ({"tasks__segment__fractions": []}, "tasks.segment.fractions: []: list should have at least 1 item"),
        (
            {"tasks__datasets__regions__override": {"decoder_channels": [8]}},
            "override.decoder_channels: [8]: list should",
        ),
        (
            {"images__partition__splits": ["trian"]},
            "images.partition.splits.0: 'trian': input should be 'train', 'val'",
        ),
        (
            {"encoders__build_pairs__splits": ["dev"]},
            "encoders.build_pairs.splits.0: 'dev': input should be 'train', 'val'",
        ),
        (
            {"encoders__curation__corrupt__ways": ["blnk"]},
            "encoders.curation.corrupt.ways.0: 'blnk': input should be 'blank'",
        ),
    ],
)
def test_items_of_lists_are_checked(at, said):
    assert said in problem(**at)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ({"encoders__pretrain__text_hidden": 33}, "encoders.mgca.text_hidden: 33: is not a multiple of text_heads = 2"),
        (
            {"encoders__pretrain__batch": 7, "encoders__pretrain__processes": 2},
            "encoders.gloria.batch: 7: is not a multiple of processes = 2",
        ),
        (
            {"generators__diffusion__train_autoencoder__image_size": 65},
            "generators.diffusion.train_autoencoder.image_size: 65: is not a multiple of 4, by which 3 levels",
        ),
        (
            {"generators__diffusion__train_diffusion__text_heads": 3},
            "generators.diffusion.train_diffusion.text_width: 128: is not a multiple of text_heads = 3",
        ),
        (
            {"generators__diffusion__train_diffusion__image_size": 68},
            "generators.diffusion.train_diffusion.image_size: 68: is not a multiple of 16, by which 3 levels",
        ),
    ],
)
def test_settings_that_do_not_fit_each_other_are_named(at, said):
    assert said in problem(**at)


def test_the_command_line_names_settings_that_do_not_fit_each_other(capsys):
    words = ["train-tokenizer", "--prompts", "p", "--tokenizer", "t", "--config", "c"]
    assert cli.main([*words, "--vocabulary", "many"]) == 2
    assert "synvlp train-tokenizer: --vocabulary: 'many': " in capsys.readouterr().err
    words = ["train-autoencoder", "--images", "i", "--studies", "s"]
    words += ["--config", "c", "--weights", "w", "--curve", "u", "--picture", "p", "--image-size", "65"]
    assert cli.main(words) == 2
    assert "synvlp train-autoencoder: --image-size: 65: is not a multiple of 4" in capsys.readouterr().err


def test_comparisons_are_with_what_the_study_has():
    text = problem(tables__compare__reference="reel", tables__compare__baseline="imagenet")
    assert "tables.compare.reference: there is no 'reel'" in text and "did you mean 'real'?" in text
    assert "tables.compare.baseline: there is no 'imagenet'; there are: random" in text


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


def test_no_version_takes_keys_raw_data_or_weights_along(monkeypatch, tmp_path):
    overlay = (ROOT / "studies/paper.yaml").read_text()
    for name in re.findall(r"\$\{(\w+)", overlay):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)

    def ignored(*paths: str) -> list[str]:
        command = ["git", "check-ignore", "--no-index", *paths]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout.split()

    outside = Study(overlaid(CONFIG, yaml.safe_load(overlay))).files_from_outside()
    assert ignored(*outside) == outside and {"data/secret.key", "data/mimic-cxr/manifest.csv"} <= set(outside)
    assert ignored("secret.key", "studies/own.key") == ["secret.key", "studies/own.key"]
    assert ignored("studies/demo.key", "src/synvlp/models/x.py", "tests/data/x.csv", "results/demo/code.json") == []


OWN = {"own": {"kind": "manifest", "path": "own/manifest.csv"}, "iu": {"kind": "iu", "path": "iu.tgz"}}


def with_own(**reports: object) -> dict:
    """The demo with two corpora of real reports."""
    return overlaid(CONFIG, {"corpora": OWN, "reports": reports})


@pytest.mark.parametrize(
    "key", ["studies/demo.key", "./studies/../studies/demo.key", "same.key", "{root}/studies/demo.key"]
)
def test_real_reports_need_a_key_that_is_not_the_demos(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "studies/demo.key", "same.key")
    with pytest.raises(StudyError) as error:
        Study(with_own(key_file=key.format(root=ROOT), published=["iu"]))
    text = str(error.value)
    assert "reports.key_file" in text and "for own make" in text and "secrets.token_hex" in text


def test_a_key_of_ones_own_or_published_texts_will_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.key").write_text("3f" * 32)
    for key in ("own.key", "not-there.key", "."):
        assert Study(with_own(key_file=key)).parts.reports.published == []
    assert Study(with_own(published=["own", "iu"])).parts.reports.key_file == "studies/demo.key"
    with pytest.raises(StudyError, match=r"reports\.published: there is no 'owm'"):
        Study(with_own(published=["owm", "iu"]))


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ("anonymize", "reports__anonymize__detector_folder"),
        ("extract_concepts", "concepts__extract__classifier_folder"),
        ("train_tokenizer", "encoders__train_tokenizer__tokenizer_folder"),
    ],
)
def test_the_files_of_a_models_folder_are_inputs_of_the_rule(tmp_path, rule, key):
    folder = tmp_path / "model"
    changes = {key: str(folder), "concepts__corpora": ["phantom"]}
    absent = Study(changed(**changes))
    assert absent.model_files(rule) == [str(folder / "config.json")], "Snakemake names it as missing"
    assert str(folder / "config.json") in absent.files_from_outside()
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt", "README.md"):
        (folder / name).touch()
    made = Study(changed(**changes))
    names = ["config.json", *(["model.safetensors"] if rule != "train_tokenizer" else []), "vocab.txt"]
    assert made.model_files(rule) == [str(folder / name) for name in names]
    assert set(made.model_files(rule)) <= set(made.files_from_outside())
    assert Study(CONFIG).model_files(rule) == []


def test_environment_variables(monkeypatch):
    monkeypatch.setenv("SYNVLP_OPEN_CXR", "here/open")
    study = Study(overlaid(CONFIG, yaml.safe_load((ROOT / "studies/open.yaml").read_text())))
    assert study.parts.corpora["open"].path == "here/open/manifest.csv"


def test_a_collection_that_is_not_there_names_its_variable(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNVLP_OPEN_CXR", raising=False)
    study = Study(overlaid(CONFIG, yaml.safe_load((ROOT / "studies/open.yaml").read_text())))
    with pytest.raises(StudyError) as error:
        study.corpus_source("index")(SimpleNamespace(corpus="iu"))
    text = str(error.value)
    assert "corpora.iu.index: there is no file ../shared/data/open-cxr/reports/iu_index.csv" in text
    assert "set SYNVLP_OPEN_CXR (now not set)" in text
    read = tmp_path / "results/open/corpora/iu/studies.parquet"  # as after `dvc pull`: nothing has to be read
    read.parent.mkdir(parents=True)
    read.touch()
    assert study.corpus_source("path")(SimpleNamespace(corpus="iu")).endswith("NLMCXR_reports.tgz")
    with_own_iu = Study(with_own(published=["own", "iu"]))
    assert with_own_iu.corpus_source("index")(SimpleNamespace(corpus="iu")) == []


def test_a_rule_asks_for_a_gpu_and_a_thread_for_each_process():
    class Wildcards(SimpleNamespace):
        def items(self):
            return vars(self).items()

    study = Study(changed(encoders__pretrain__processes=4, generators__diffusion__train_diffusion__processes=2))
    wildcards = Wildcards(method="gloria", source="real", seed="0", generator="diffusion")
    assert study.processes("pretrain")(wildcards) == 4
    assert study.processes("train_diffusion")(wildcards) == 2
    assert study.processes("train_autoencoder")(wildcards) == 1
