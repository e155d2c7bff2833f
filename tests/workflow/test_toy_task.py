"""A task of one's own is one module and some lines of the config: all else takes it as it is."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from synvlp.models import encoder_files
from synvlp.store import files, tables

TOY = '''"""Guess whether an image is bright from nothing but its pixels."""

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import tables
from synvlp.tasks import untrained

TASK = {"name": "brightness-guess", "of": ["classification"], "given": ["level"]}


class Settings(job.Compute):
    gain: float = job.setting(1.0, "multiplies gray levels", gt=0)
    level: float = job.setting(64.0, "what counts as bright", ge=0)


Inputs = untrained.Inputs
Outputs = untrained.Outputs


def run(settings, inputs, outputs):
    description = untrained.read_description(inputs.description, TASK["of"])
    samples, pixels = untrained.open_samples(inputs)
    test = np.flatnonzero(samples["split"] == "test")
    value = settings.gain * pixels[test].mean(axis=(1, 2)) > settings.level
    rows = untrained.measured(samples.iloc[test], "bright", "", value, chance=0.5)
    metrics, chance = untrained.summarized(rows), untrained.summarized(rows, "chance")
    written = (rows, tables.MEASURED)
    untrained.write(
        outputs, TASK["name"], description, settings, metrics, chance, written, samples.iloc[test]
    )
'''
OVERLAY = {
    "tasks": {
        "datasets": {"bright": {"task": "brightness-guess", "of": "findings", "level": 100.0}},
        "brightness_guess": {"gain": 2.0},
    }
}


@pytest.fixture
def study(checkout):
    """A checkout with code of its own, in which the toy is one more module and two entries of the overlay."""
    from tests.workflow.conftest import ROOT

    shutil.copytree(ROOT / "src", checkout.folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (checkout.folder / "src/synvlp/tasks/brightness_guess.py").write_text(TOY)
    tiny = checkout.folder / "tiny.yaml"
    written = yaml.safe_load(tiny.read_text())
    written["tasks"]["datasets"] |= OVERLAY["tasks"]["datasets"]
    written["tasks"] |= {"brightness_guess": OVERLAY["tasks"]["brightness_guess"]}
    tiny.write_text(yaml.safe_dump(written))
    return checkout


def synvlp(study, *words):
    done = study.run(sys.executable, "-m", "synvlp", *map(str, words))
    assert done.returncode == 0, done.stderr
    return done.stdout


def data_set(folder):
    """A classification data set of twenty test images, half of them bright."""
    rows = [(f"s{number:02}", f"p{number // 2}", "test", []) for number in range(20)]
    tables.write(pd.DataFrame(rows, columns=list(tables.SAMPLES.columns)), folder / "samples", tables.SAMPLES)
    with (folder / "pixels").open("wb") as file:
        gray = np.where(np.arange(20) % 2, 20, 90).astype(np.uint8)
        np.save(file, np.broadcast_to(gray[:, None, None], (20, 8, 8)))
    files.write_json(folder / "description", {"task": "classification", "labels": ["x"], "kind": "multilabel"})


def test_a_toy_task_goes_through_config_rules_command_line_and_tables(study):
    assert "bright" in synvlp(study, "check", "tiny.yaml")
    planned = study.snakemake("-n", "-p")
    assert planned.returncode == 0, planned.stderr
    commands = [line for line in planned.stdout.splitlines() if "synvlp brightness-guess" in line]
    assert len(commands) == 6  # three methods, two sources; none without pre-training
    assert all("--gain 2.0 --level 100.0" in command for command in commands)
    assert all("tasks/classification/findings/pixels.npy" in command for command in commands)

    data_set(study.folder)
    encoder = list(encoder_files.Encoder.model_fields)
    for name in encoder:
        (study.folder / name).touch()
    paths = [word for name in (*encoder, "samples", "pixels", "description") for word in (f"--{name}", name)]
    for source in ("real", "mixed"):
        written = ("--metrics", f"{source}.json", "--predictions", f"{source}.parquet")
        given = [word.replace("_", "-") if word.startswith("--") else word for word in paths]
        synvlp(study, "brightness-guess", *given, *written, "--gain", "1", "--level", "64")
    runs = ["--datasets", "bright", "bright", "--methods", "gloria", "gloria"]
    runs += ["--sources", "real", "mixed", "--encoder-seeds", 0, 0]
    shown = ("--csv", "t.csv", "--markdown", "t.md", "--latex", "t.tex")
    synvlp(study, "tabulate", "--metrics", "real.json", "mixed.json", *shown, "--task", "brightness-guess", *runs)
    table = pd.read_csv(study.folder / "t.csv").set_index("method")
    assert table["bright bright 0 mean"].to_dict() == {"chance": 0.5, "gloria": 0.5}
    assert "Brightness-guess on the test split" in (study.folder / "t.md").read_text()

    compared = ("--comparison", "c.parquet", "--csv", "c.csv", "--markdown", "c.md", "--resamples", 100)
    tasks = ("--tasks", "brightness-guess", "brightness-guess")
    synvlp(study, "compare", "--predictions", "real.parquet", "mixed.parquet", *compared, *tasks, *runs)
    frame = tables.read(study.folder / "c.parquet", tables.COMPARISON)
    assert frame.loc[frame.reference_source == "real", "verdict"].tolist() == ["equivalent"]
    assert set(frame.loc[frame.reference_method == "", "value"]) == {0.5}
    synvlp(
        study, "draw-figure", "--comparison", "c.parquet", "--png", "f.png", "--svg", "f.svg",
        "--task", "brightness-guess",
    )  # fmt: skip


def test_a_data_set_of_another_kind_is_refused(study):
    tiny = study.folder / "tiny.yaml"
    tiny.write_text(tiny.read_text().replace("of: findings", "of: lesions"))
    done = study.run(sys.executable, "-m", "synvlp", "check", "tiny.yaml")
    assert done.returncode != 0
    assert "tasks.datasets.bright.of: there is no 'lesions'; there are: findings" in done.stderr
