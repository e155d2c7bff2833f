"""The kinds of generators: what the study knows of them, and that a new one is one module and some lines of config."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from synvlp import costs, doctor, kinds, provenance
from synvlp.store import images, tables
from synvlp.study import Study, StudyError, overlaid

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


class Wildcards(SimpleNamespace):
    def items(self):
        return vars(self).items()


def overlay(*names, **changes):
    """The demo with generators of other kinds beside diffusion, each with a source of its own."""
    return overlaid(
        CONFIG,
        {
            "generators": {name: {"kind": name, "corpus": "phantom"} | changes.get(name, {}) for name in names},
            "pair_sets": {f"synthetic-{name}": {"corpus": "phantom", "generator": name} for name in names},
            "sources": {f"synthetic-{name}": {f"synthetic-{name}": 1} for name in names},
        },
    )


@pytest.fixture(scope="module")
def study():
    return Study(overlay("vae", "gan"))


def test_each_generator_has_its_files_and_its_settings(study):
    assert [item["generator"] for item in study.image_sets()] == ["diffusion", "gan", "vae"]
    assert "<results>/generators/diffusion/pipeline/model_index.json" in study.generator_files("diffusion")
    assert study.generator_files("gan") == [
        f"<results>/generators/gan/gan/{place}"
        for place in ("generator.json", "generator.safetensors", "tokenizer/tokenizer.json",
                      "tokenizer/tokenizer_config.json")
    ]  # fmt: skip
    own = Study(overlay("gan", gan={"train_gan": {"loss": "hinge", "processes": 2}}))
    wildcards = Wildcards(generator="gan", kind="gan")
    assert "--loss hinge" in own.settings("train_generator")(wildcards)
    assert own.processes("train_generator")(wildcards) == 2
    assert own.keys("train_generator", dict(wildcards.items())) == ["generators.gan.train_gan"]


def test_a_wrong_setting_of_a_kind_names_it():
    with pytest.raises(StudyError, match=r"generators\.gan\.train_gan\.los: .* did you mean 'loss'"):
        Study(overlay("gan", gan={"train_gan": {"los": "hinge"}}))
    with pytest.raises(StudyError, match=r"'gan'.*'vae'"):
        Study(overlay("gam"))


def test_the_page_shows_every_generator(study):
    pictures = study.page()["pictures"]
    assert pictures["Samples of vae"] == "<results>/generators/vae/vae/samples.png"
    assert pictures["Loss of gan"] == "<results>/generators/gan/gan/curve.png"
    assert pictures["Loss of diffusion"] == "<results>/generators/diffusion/curve.png"
    assert [title for title in pictures if title.startswith("What the autoencoder")] == [
        "What the autoencoder of diffusion keeps"
    ]
    assert pictures["Real beside synthetic: gan, prompts of phantom"] == "<results>/images/gan/phantom/sheet.png"


def test_drawing_depends_on_the_code_and_the_settings_of_its_kind_alone(study):
    changed = overlaid(overlay("vae", "gan"), {"images": {"synthesize": {"guidance": 3.0}}})
    for rule in ("synthesize", "screen"):
        modules = {name: study.modules(rule, {"generator": name}) for name in ("diffusion", "vae", "gan")}
        assert len(set(modules.values())) == 3
        assert "synvlp.models.gan" in provenance.closure(*modules["gan"])
        assert "synvlp.models.gan" not in provenance.closure(*modules["diffusion"])
        same = {
            name: Study(changed).settings(rule)(Wildcards(generator=name, corpus="phantom", shard="0"))
            == study.settings(rule)(Wildcards(generator=name, corpus="phantom", shard="0"))
            for name in modules
        }
        assert same == {"diffusion": False, "vae": True, "gan": True}
        code = study.code(rule)(Wildcards(generator="gan", corpus="phantom", shard="0"))
        assert study.fingerprints()[modules["gan"]] == code == provenance.fingerprint(*modules["gan"])


def test_a_plan_counts_their_work(study):
    sizes = costs.Sizes(study, {"phantom": 1000})
    for kind in kinds.trained():
        training = SimpleNamespace(rule="train_generator", wildcards={"generator": kind, "kind": kind})
        flags = study.settings("train_generator")(Wildcards(**training.wildcards))
        work = costs.work(training, costs.Settings(flags), sizes)
        longer = costs.work(training, costs.Settings(flags + " --steps 100000"), sizes)
        assert 0 < work < longer and costs.state(training, costs.Settings(flags), sizes) > 1e6
        drawing = SimpleNamespace(rule="synthesize", wildcards={"generator": kind, "corpus": "phantom", "shard": "0"})
        assert 0 < costs.work(drawing, costs.Settings("--copies 1"), sizes) < work
    assert doctor.largest_job(study)[0] >= 2000


TOY = """
import sys
from pathlib import Path
import yaml
from synvlp import cli, costs, kinds, reference
from synvlp.models import generator
from synvlp.study import Study
from types import SimpleNamespace

class Wildcards(SimpleNamespace):
    def items(self):
        return vars(self).items()

study = Study(yaml.safe_load(Path("study.yaml").read_text()))
assert kinds.trained() == ["gan", "toy", "vae"]
assert "In the config: `generators.NAME.train_toy (kind: toy)`." in reference.markdown()
wildcards = Wildcards(generator="toy", kind="toy", corpus="phantom", shard="0")
files = {name: path.removeprefix("<results>/") for name, path in
         {**kinds.files("toy", "toy"), **kinds.pictures("toy", "toy")}.items()}
words = [word for name, path in files.items() for word in (f"--{name.replace('_', '-')}", path)]
corpus = [word for name in ("images", "studies", "prompts") for word in (f"--{name}", f"{name}.parquet")]
assert cli.main(["train-toy", *corpus, *words, *study.settings("train_generator")(wildcards).split()]) == 0
made = [path.removeprefix("<results>/") for path in study.generator_files("toy")]
drawing = study.settings("synthesize")(wildcards).split()
assert cli.main(["synthesize", "--prompts", "prompts.parquet", "--pipeline", *made, "--shard-file", "shard.parquet",
                 *drawing]) == 0
assert cli.main(["screen", "--shards", "shard.parquet", "--prompts", "prompts.parquet", "--pipeline", *made,
                 "--images", "drawn.parquet", "--rejected", "rejected.csv", "--summary", "summary.json",
                 *study.settings("screen")(wildcards).split()]) == 0
assert study.modules("synthesize", vars(wildcards)) == ("synvlp.images.synthesize", "synvlp.generators.kinds.toy")
assert len(study.code("synthesize")(wildcards)) == 16
training = SimpleNamespace(rule="train_generator", wildcards={"generator": "toy", "kind": "toy"})
assert costs.work(training, costs.Settings("--steps 10 --batch 8"), costs.Sizes(study, {"phantom": 9})) > 0
"""


def test_a_toy_generator_is_one_module_and_some_lines_of_config(tmp_path):
    shutil.copytree(ROOT / "src/synvlp", tmp_path / "src/synvlp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/workflow/toy.py", tmp_path / "src/synvlp/generators/kinds")
    content = overlay("toy", toy={"train_toy": {"image_size": 16, "grain": 5.0, "tokens": 12}})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    _corpus(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", TOY], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    drawn = tables.read(tmp_path / "drawn.parquet", tables.SHARD)
    pixels = np.stack([images.decode(data) for data in drawn["image"]]).astype(float)
    brighter = pixels[:, :, :8].mean((1, 2)) > pixels[:, :, 8:].mean((1, 2))
    assert list(brighter) == [prompt == "Bright left." for prompt in drawn["prompt"]]
    assert json.loads((tmp_path / "summary.json").read_text())["accepted"] == len(drawn) == 12


def _corpus(folder):
    """Images of 12 studies, bright on the side that their prompts say."""
    ids, side = [f"s{number:02d}" for number in range(12)], ["left", "right"] * 6
    common = {"study_id": ids, "patient_id": ids, "split": ["train"] * 10 + ["val"] * 2}
    blank = {"collection": "drawn", "view": "PA", "sex": "", "age": np.nan, "text_kind": "report"}
    flags = {"labels": [[]] * 12, "labelled": True, "has_image": True, "has_report": True}
    tables.write(pd.DataFrame(common | blank | flags), folder / "studies.parquet", tables.STUDIES)
    pixels = np.full((12, 16, 16), 60, np.uint8)
    for number, word in enumerate(side):
        pixels[number, :, slice(0, 8) if word == "left" else slice(8, 16)] = 190
    encoded = pd.DataFrame({"study_id": ids, "image": [images.encode(image) for image in pixels]})
    tables.write(encoded, folder / "images.parquet", tables.IMAGES)
    text = [f"Bright {word}." for word in side]
    prompts = pd.DataFrame(common | {"text": text, "prompt": text, "origin": "report"})
    tables.write(prompts, folder / "prompts.parquet", tables.PROMPTS)
