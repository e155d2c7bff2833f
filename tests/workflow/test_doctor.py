"""`synvlp doctor`: what is there passes, what is not is named, with a way to get it."""

import hashlib
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from synvlp import cli, doctor, plan
from synvlp.study import Study, overlaid

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
NO_GPU = {"build": "13.2", "names": []}


def study(**overlay: object) -> Study:
    """The demo with an overlay on it."""
    return Study(overlaid(CONFIG, overlay))


def with_collection(path: Path | str, **overlay: object) -> Study:
    """The demo with a manifest's collection `own`."""
    return study(corpora={"own": {"kind": "manifest", "path": str(path)}}, reports={"published": ["own"]}, **overlay)


def published(folder: Path) -> Study:
    """A study whose generator is a published pipeline in `folder`."""
    generator = {"kind": "published", "adopt_pipeline": {"pipeline_folder": str(folder)}}
    return study(
        generators={"diffusion": None, "roentgen": generator}, pair_sets={"synthetic": {"generator": "roentgen"}}
    )


def job(rule: str, memory: int) -> SimpleNamespace:
    """A job of the DAG, as far as memory goes."""
    return SimpleNamespace(rule=rule, resources={"mem_mb": memory})


def fill(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


@pytest.fixture(autouse=True)
def checkout(tmp_path, monkeypatch):
    """A folder with the study's key, rules and profiles in it, and no cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNVLP_SCRATCH", raising=False)
    for name in ("Snakefile", "profiles", "rules", "studies"):
        (tmp_path / name).symlink_to(ROOT / name)


def test_a_network_is_needed_for_servers_alone():
    (row,) = doctor.network(study())
    assert row.verdict == "ok" and row.needed.startswith("none")
    with socket.create_server(("127.0.0.1", 0)) as server:
        writer = {"kind": "server", "url": f"http://127.0.0.1:{server.getsockname()[1]}/v1", "model": "tiny"}
        written = {"asked": {"corpus": "phantom", "writer": writer}}
        asking = study(
            concepts={"written": written},
            pair_sets={"asked": {"corpus": "asked", "generator": "diffusion"}},
            sources={"asked": {"asked": 1}},
        )
        (row,) = doctor.network(asking)
        assert row.verdict == "ok" and row.what == "concepts.written.asked.writer.url"
    (row,) = doctor.network(asking)
    assert row.verdict == "missing" and "does not answer" in row.found and "start it" in row.remedy


def test_the_demo_lacks_no_file_here(monkeypatch):
    monkeypatch.setattr(plan, "jobs", lambda study: [job("pretrain", 8000)])
    rows = doctor.data(study()) + doctor.weights(study()) + doctor.processor(study()) + doctor.space(study())
    assert {row.verdict for row in rows} <= {"ok", "warning"}
    assert [row.what for row in doctor.data(study())] == ["reports.key_file"]


def test_a_missing_key_says_how_to_make_one():
    row = doctor.data(study(reports={"key_file": "secret.key"}))[0]
    assert row.verdict == "missing" and "secret.key" in row.found and "secrets.token_hex" in row.remedy


def test_a_missing_manifest_is_named_and_a_present_one_is_hashed(tmp_path):
    parts = with_collection(tmp_path / "manifest.csv", pair_sets={"real": {"corpus": "own"}})
    row = next(row for row in doctor.data(parts) if row.what == "corpora.own.path")
    assert row.verdict == "missing" and "docs/data.md" in row.remedy
    (tmp_path / "manifest.csv").write_text("image_id,patient_id,file\n")
    row = next(row for row in doctor.data(parts) if row.what == "corpora.own.path")
    assert row.verdict == "ok" and hashlib.sha256(b"image_id,patient_id,file\n").hexdigest()[:16] in row.found


def test_a_path_from_the_environment_is_traced_to_its_variable(monkeypatch):
    path = "${OWN_FOLDER:-else}/manifest.csv"
    rows = doctor.data(with_collection(path, pair_sets={"real": {"corpus": "own"}}))
    row = next(row for row in rows if row.what == "corpora.own.path")
    assert row.found == "no file else/manifest.csv"
    assert path in row.remedy and "set OWN_FOLDER (now not set)" in row.remedy and "docs/data.md" in row.remedy
    monkeypatch.setenv("OWN_FOLDER", "there")
    assert "set OWN_FOLDER (now there)" in with_collection(path).origin("corpora", "own", "path")
    assert with_collection("there/manifest.csv").origin("corpora", "own", "path") == ""


def test_a_corpus_that_nothing_uses_is_not_asked_for(tmp_path):
    parts = with_collection(tmp_path / "none.csv")
    assert "corpora.own.path" not in [row.what for row in doctor.data(parts)]


def test_a_changed_file_of_a_collection_is_found(tmp_path):
    fill(tmp_path, ["manifest.csv", "images/a.png"])
    sums = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name in ("manifest.csv", "images/a.png")]
    (tmp_path / "SHA256SUMS").write_text("\n".join(sums))
    parts = with_collection(tmp_path / "manifest.csv", pair_sets={"real": {"corpus": "own"}})
    assert {row.verdict for row in doctor.data(parts, checksums=True)} == {"ok"}
    (tmp_path / "images/a.png").write_text("another")
    row = next(row for row in doctor.data(parts, checksums=True) if "SHA256SUMS" in row.what)
    assert row.verdict == "missing" and row.found == "1 of 2 files agree" and "a.png" in row.remedy


def test_a_hubs_name_is_no_folder():
    row = doctor.weights(published(Path("someone/roentgen")))[0]
    assert row.verdict == "missing"
    assert (
        "hf download someone/roentgen" in row.remedy
        and row.what == "generators.roentgen.adopt_pipeline.pipeline_folder"
    )


def test_a_pipeline_with_pickled_weights_lacks_safetensors(tmp_path):
    from synvlp.models.pipeline import FILES

    folder = tmp_path / "roentgen"
    fill(folder, [path for path in FILES.values() if path != FILES["unet_weights"]])
    fill(folder, ["unet/diffusion_pytorch_model.bin"])
    row = doctor.weights(published(folder))[0]
    assert row.verdict == "missing" and FILES["unet_weights"] in row.found and "convert" in row.remedy
    fill(folder, [FILES["unet_weights"]])
    rows = doctor.weights(published(folder))
    assert [row.verdict for row in rows] == ["ok"] * 3
    assert any("unet" in row.found and "sha256" in row.found for row in rows)


def test_weights_of_encoders(tmp_path):
    parts = study(encoders={"text_folder": str(tmp_path), "imagenet_weights": str(tmp_path / "resnet.safetensors")})
    rows = {row.what: row for row in doctor.weights(parts)}
    assert "config.json, model.safetensors" in rows["encoders.text_folder"].found
    assert "torchvision" in rows["encoders.imagenet_weights"].remedy
    fill(tmp_path, ["config.json", "model.safetensors", "resnet.safetensors"])
    assert {row.verdict for row in doctor.weights(parts)} == {"ok"}


def test_every_folder_that_a_setting_may_name_is_looked_into(tmp_path):
    writer = {"corpus": "phantom", "writer": {"kind": "local", "model_folder": str(tmp_path / "writer")}}
    named = {
        "reports": {"anonymize": {"detector_folder": str(tmp_path / "detector")}},
        "concepts": {"extract": {"classifier_folder": str(tmp_path / "classifier")}, "written": {"large": writer}},
        "encoders": {"train_tokenizer": {"tokenizer_folder": str(tmp_path / "tokenizer")}},
        "images": {"quality": {"rad_dino_folder": str(tmp_path / "dino")}},
    }
    rows = doctor.weights(study(**named))
    assert len(rows) == 5 and {row.verdict for row in rows} == {"missing"}
    for name in ("writer", "detector", "classifier", "tokenizer", "dino"):
        fill(tmp_path / name, ["config.json", "model.safetensors", "tokenizer.json"])
    assert {row.verdict for row in doctor.weights(study(**named))} == {"ok"}


def test_packages_against_pins(tmp_path):
    import pydantic

    pins = tmp_path / "pins.txt"
    good = f"pydantic=={pydantic.VERSION} \\\n    --hash=sha256:00\n"
    pins.write_text(good + "absent==1.0 ; python_full_version < '3' \\\n    --hash=sha256:00\n")
    assert [row.verdict for row in doctor.packages(pins)] == ["ok"]
    pins.write_text(good + "pyyaml==0.1 \\\n    --hash=sha256:00\nno-such-thing==1.0 \\\n    --hash=sha256:00\n")
    rows = {row.what: row for row in doctor.packages(pins)}
    assert rows["packages"].verdict == "missing" and rows["packages"].found == "1 as pinned"
    assert rows["pyyaml"].verdict == "warning" and rows["pyyaml"].needed == "0.1"
    assert rows["no-such-thing"].verdict == "missing" and "pip install" in rows["no-such-thing"].remedy
    assert "pydantic" not in rows


def test_every_pin_is_read():
    text = (ROOT / doctor.PINS).read_text()
    lines = [line for line in text.splitlines() if "==" in line.split(";")[0] and not line.startswith(" ")]
    here = [line for line in lines if ";" not in line]
    assert len(here) <= len(doctor.pinned(ROOT / doctor.PINS)) <= len(lines)
    assert doctor.pinned(ROOT / doctor.PINS)["snakemake"] in next(
        line for line in lines if line.startswith("snakemake==")
    )


def test_a_gpu_is_needed_only_where_the_config_says_cuda(monkeypatch):
    monkeypatch.setattr(doctor, "_lines", lambda *command: [])
    monkeypatch.setattr(doctor, "_json", lambda *command: NO_GPU)
    assert doctor.gpu(study())[0].verdict == "warning"
    row = doctor.gpu(study(encoders={"convirt": {"device": "cuda"}}))[0]
    assert row.verdict == "missing" and "device is cuda" in row.needed


def test_a_gpu_that_torch_cannot_use(monkeypatch):
    monkeypatch.setattr(doctor, "_lines", lambda *command: ["470.57"])
    monkeypatch.setattr(doctor, "_json", lambda *command: NO_GPU)
    row = doctor.gpu(study())[0]
    assert row.verdict == "warning" and "too old" in row.remedy and "470.57" in row.found
    monkeypatch.setattr(doctor, "_json", lambda *command: {"build": "13.2", "names": ["H100", "H100"]})
    row = doctor.gpu(study())[0]
    assert row.verdict == "ok" and "2 × H100" in row.found


def test_the_largest_job_is_one_that_the_study_runs():
    needed, rule = doctor.largest_job(study())
    assert (needed, rule) == max((job.resources["mem_mb"], job.rule) for job in plan.jobs(study()))
    assert rule not in ("write_reports", "finetune_diffusion"), "the demo has neither"
    generator = {"kind": "finetuned", "corpus": "phantom", "finetune_diffusion": {"pipeline_folder": "models/sd"}}
    finetuned = study(generators={"diffusion": None, "sd": generator}, pair_sets={"synthetic": {"generator": "sd"}})
    assert doctor.largest_job(finetuned)[1] == "finetune_diffusion"


def test_memory_is_compared_with_the_largest_job(monkeypatch):
    monkeypatch.setattr(plan, "jobs", lambda study: [job("small", 1000), job("huge", 999_999_999)])
    memory = doctor.processor(study())[1]
    assert memory.verdict == "warning" and memory.needed == "1000000 GB for huge"
    monkeypatch.setattr(plan, "jobs", lambda study: [job("small", 1)])
    assert doctor.processor(study())[1].verdict == "ok"


def test_memory_under_slurm_is_what_the_profile_asks_of_its_nodes(monkeypatch):
    monkeypatch.setattr(plan, "jobs", lambda study: [job("pretrain", 8000), job("train_writer", 9000)])
    monkeypatch.delenv("SYNVLP_MAX_MEM_MB", raising=False)
    monkeypatch.setattr(doctor, "_lines", lambda *command: ["32000", "48000+"])
    memory = doctor.processor(study(), slurm=True)[1]
    assert memory.verdict == "warning" and (memory.found, memory.needed) == ("48 GB", "64 GB for pretrain")
    monkeypatch.setattr(doctor, "_lines", lambda *command: ["128000"])
    assert doctor.processor(study(), slurm=True)[1].verdict == "ok"
    monkeypatch.setenv("SYNVLP_MAX_MEM_MB", "40000")
    assert doctor.processor(study(), slurm=True)[1].needed == "40 GB for pretrain"


def test_jobs_that_cannot_be_listed_are_a_row_and_no_crash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "rules")
    memory = doctor.processor(study())[1]
    assert memory.verdict == "warning" and "cannot be listed" in memory.needed and "in the repository" in memory.remedy


def test_little_space_is_a_warning(monkeypatch):
    usage = type("Usage", (), {"free": 2e9, "total": 100e9})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert [row.verdict for row in doctor.space(study())] == ["warning", "warning"]
    assert "2 GB free of 100 GB" in doctor.space(study())[0].found


def test_links_are_tried_and_leave_nothing(tmp_path):
    before = sorted(tmp_path.iterdir())
    row = doctor.links(study())[0]
    assert row.verdict == "ok" and "symlink" in row.found
    assert sorted(tmp_path.iterdir()) == before


def test_slurm_is_needed_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [row.verdict for row in doctor.cluster()] == ["ok"]
    assert [row.verdict for row in doctor.cluster(wanted=True)] == ["missing"]


def test_a_slurm_lists_its_partitions(tmp_path, monkeypatch):
    for name, text in (("sinfo", "echo 'gpu up 4 nodes'"), ("squeue", "echo 17")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    rows = doctor.cluster(wanted=True)
    assert [row.verdict for row in rows] == ["ok", "ok"]
    assert "1 jobs" in rows[0].found and rows[1].found == "gpu up 4 nodes"
    (tmp_path / "sinfo").write_text("#!/bin/sh\nexit 1\n")
    assert [row.verdict for row in doctor.cluster(wanted=True)] == ["missing"]


def test_the_command_fails_if_something_is_missing(monkeypatch, capsys, tmp_path):
    (tmp_path / "config.yaml").symlink_to(ROOT / "config.yaml")
    (tmp_path / "overlay.yaml").write_text("reports: {key_file: none.key}\n")
    monkeypatch.setattr(doctor, "gpu", lambda study: [doctor.Row("GPU", "one", "one", "ok")])
    monkeypatch.setattr(plan, "jobs", lambda study: [job("pretrain", 8000)])
    monkeypatch.setattr(doctor, "packages", lambda: [doctor.Row("packages", "all", "all", "ok")])
    assert cli.main(["doctor"]) == 0
    assert cli.main(["doctor", "overlay.yaml"]) == 1
    text = capsys.readouterr().out
    assert "- reports.key_file: make one" in text and "1 missing" in text
    assert cli.main(["doctor", "absent.yaml"]) == 1
    assert "absent.yaml" in capsys.readouterr().err
