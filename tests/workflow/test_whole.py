"""The whole DAG as users run it: once, again, killed, with one thing changed, with bad input."""

import json
import shutil
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synvlp.store import seeds

pytestmark = pytest.mark.workflow
ENCODER = "results/tiny/encoders/{method}/{source}/seed-0/image_encoder.safetensors"


def planned(checkout, *words: str) -> set[str]:
    """The rules that would run."""
    result = checkout.snakemake("-n", "--quiet", "rules", *words)
    assert result.returncode == 0, result.stderr
    text = result.stdout + result.stderr
    if "Nothing to be done" in text:
        return set()
    table = text.split("Job stats:")[-1].split("total")[0]
    return {line.split()[0] for line in table.splitlines() if line.split() and line.split()[-1].isdigit()}


def wait_for(pattern: str, checkout, process, lines: int = 0, seconds: float = 600) -> None:
    """Wait until a file that matches `pattern`, of at least so many lines, exists in the checkout."""
    end = time.monotonic() + seconds
    while not any(lines == 0 or path.read_bytes().count(b"\n") >= lines for path in checkout.folder.glob(pattern)):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end, f"no {pattern} after {seconds} s"
        time.sleep(0.02)


def forget(checkout, *folders: str) -> None:
    """Remove results, so that they must be made again, and not be taken from the last run."""
    shutil.rmtree(checkout.folder / "scratch/last")
    for folder in folders:
        assert list(checkout.folder.glob(folder)), folder
        for path in checkout.folder.glob(folder):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_the_whole_study_ends_in_tables_and_a_page(finished):
    tables = finished.folder / "results/tiny/tables"
    for task in ("classification", "segmentation", "detection"):
        for ending in ("csv", "md", "tex", "png", "svg"):
            assert (tables / f"{task}.{ending}").stat().st_size > 0
    comparison = pd.read_csv(tables / "comparison.csv")
    assert {"convirt", "gloria", "mgca", "random"} <= set(comparison.method)
    assert "<html" in (tables / "index.html").read_text()
    # Each job's last outputs stay, to be taken again; the saved states of interrupted jobs must be gone.
    assert [path.name for path in (finished.folder / "scratch").iterdir()] == ["last"]


def test_a_second_run_does_nothing(finished):
    assert planned(finished) == set()


def test_touching_files_reruns_nothing(copied):
    for path in [*copied.folder.glob("results/tiny/corpora/**/*.parquet"), *copied.folder.glob("rules/*")]:
        path.touch()
    assert planned(copied) == set()


def test_one_methods_setting_reruns_that_method_alone(copied):
    wanted = planned(copied, "--config", "encoders={mgca: {rate: 0.0007}}")
    assert wanted == {"pretrain", "encode", "classify", "segment", "detect", "align", "ground"} | TABLES
    result = copied.snakemake("-n", "--config", "encoders={mgca: {rate: 0.0007}}")
    assert "encoders/mgca/real" in result.stdout + result.stderr
    assert "pretrain-gloria" not in result.stdout + result.stderr


TABLES = {"tabulate", "summarize", "compare", "draw_figure", "write_page", "all"}


def test_killed_while_pretraining_it_goes_on_to_the_same_bytes(finished, copied):
    target = ENCODER.format(method="gloria", source="real")
    forget(copied, "results/tiny/encoders/gloria/real")
    process = copied.start(target, SYNVLP_CHECKPOINT_SECONDS="0")
    wait_for("scratch/gloria-*/state.pt", copied, process)
    copied.kill(process)
    assert not (copied.folder / target).exists()
    copied.snakemake("--unlock")
    result = copied.snakemake(target)
    assert result.returncode == 0, result.stderr[-3000:]
    log = (copied.folder / "results/tiny/logs/pretrain/gloria/real/seed-0.log").read_text()
    assert "going on from" in log
    assert copied.artifacts() == finished.artifacts()


def test_killed_while_drawing_images_it_goes_on_to_the_same_bytes(finished, copied):
    shard = "results/tiny/images/diffusion/phantom/shards/0.parquet"
    forget(copied, shard)
    process = copied.start(shard, SYNVLP_CHECKPOINT_SECONDS="0")
    wait_for("scratch/synthesize-*/state.pt", copied, process)
    copied.kill(process)
    copied.snakemake("--unlock")
    result = copied.snakemake(shard)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "going on from" in (copied.folder / "results/tiny/logs/synthesize/diffusion/phantom/0.log").read_text()
    assert copied.artifacts() == finished.artifacts()


def test_the_number_of_shards_does_not_matter(finished, copied):
    images = "results/tiny/images/diffusion/phantom/images.parquet"
    forget(copied, "results/tiny/images/diffusion/phantom")
    result = copied.snakemake(images, "--config", "images={shards: 3}")
    assert result.returncode == 0, result.stderr[-3000:]
    assert (copied.folder / images).read_bytes() == (finished.folder / images).read_bytes()


def test_a_typo_stops_before_any_job(checkout):
    result = checkout.snakemake("--config", "encoders={gloria: {temperatur: 3}}")
    assert result.returncode != 0
    text = result.stderr + result.stdout
    assert "encoders.gloria.temperatur" in text and "did you mean 'temperature'?" in text
    assert "Traceback" not in text
    assert not (checkout.folder / "results").exists()


def test_after_a_stop_all_that_was_rejected_can_be_read(checkout):
    reports = checkout.folder / "results/tiny/reports/phantom"
    result = checkout.snakemake(
        "results/tiny/reports/phantom/prompts.parquet", "--config", "reports={write_prompts: {min_words: 1000}}"
    )
    assert result.returncode != 0
    assert "fewer than 1000 words" in result.stderr and "prompts_rejected.stopped.csv" in result.stderr
    kept = pd.read_csv(reports / "prompts_rejected.stopped.csv")
    assert len(kept) > 100 and set(kept.reason) == {"fewer than 1000 words"}
    assert not (reports / "prompts_rejected.csv").exists()


def test_a_collection_is_read_again_when_what_lies_beside_its_manifest_changed(checkout):
    folder = checkout.folder / "mine"
    (folder / "coco").mkdir(parents=True)
    for number in range(3):
        Image.effect_noise((40, 40), 60 + number).save(folder / f"{number}.png")
    rows = [f"x_{number},p{number},{number}.png" for number in range(3)]
    (folder / "manifest.csv").write_text("\n".join(["image_id,patient_id,file", *rows]))
    marks = folder / "coco/finds.json"
    marks.write_text('{"images": [], "categories": [], "annotations": []}')
    (folder / "SHA256SUMS").write_text("")
    corpus = "corpora={mine: {kind: manifest, path: mine/manifest.csv}}"
    words = ("--config", corpus, "reports={published: [mine]}", "--", "results/tiny/corpora/mine/studies.parquet")
    assert checkout.snakemake(*words).returncode == 0
    for path in (marks, folder / "SHA256SUMS", folder / "0.png"):
        path.touch()
    assert planned(checkout, *words) == set()
    marks.write_text('{"images": [], "categories": [], "annotations": [ ]}')
    assert planned(checkout, *words) == {"read_manifest"}
    assert checkout.snakemake(*words).returncode == 0
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  0.png\n")
    assert planned(checkout, *words) == {"read_manifest"}
    stopped = checkout.snakemake(*words)
    assert stopped.returncode != 0 and "broken copy (1)" in stopped.stderr


def test_a_failing_jobs_message_reaches_the_user(copied):
    shard = copied.folder / "results/tiny/images/diffusion/phantom/shards/0.parquet"
    shard.write_bytes(shard.read_bytes()[:1000])
    result = copied.snakemake("results/tiny/images/diffusion/phantom/images.parquet")
    assert result.returncode != 0
    text = result.stderr + result.stdout
    assert "not a readable Parquet table" in text and "shards/0.parquet" in text


SMALL = """
corpora:
  phantom: null
  mine: {kind: manifest, path: mine/manifest.csv}
reports: {published: [mine]}
generators: {diffusion: {corpus: mine}}
images: {shards: 3}
pair_sets:
  real: {corpus: mine}
  synthetic: {corpus: mine}
tasks:
  datasets:
    findings: {corpus: mine}
    regions: {corpus: mine}
    lesions: {corpus: mine}
    reports: {corpus: mine}
"""


def collection(folder, reports: int) -> None:
    """A collection of 16 images with texts, and of reports without an image."""
    folder.mkdir(exist_ok=True)
    rows = ["image_id,patient_id,file,split,text"]
    for number in range(16):
        if not (folder / f"{number}.png").exists():
            noise = np.random.default_rng(number).integers(0, 255, (16, 16), dtype=np.uint8)
            Image.fromarray(noise).resize((64, 64)).save(folder / f"{number}.png")
        split = "val" if number < 4 else "train"
        rows.append(f'i{number},p{number},{number}.png,{split},"IMPRESSION: Opacity {number} cm wide on the left."')
    rows += [f'r{number},q{number},,train,"IMPRESSION: Effusion of {number} ml."' for number in range(reports)]
    (folder / "manifest.csv").write_text("\n".join(rows))


def test_a_report_without_an_image_draws_its_own_shard_and_trains_no_generator(checkout):
    (checkout.folder / "small.yaml").write_text(SMALL)
    images = "results/tiny/images/diffusion/mine/images.parquet"
    words = (images, "--configfile", "tiny.yaml", "small.yaml")
    collection(checkout.folder / "mine", reports=5)
    assert checkout.snakemake(*words).returncode == 0
    before = pd.read_parquet(checkout.folder / images).set_index("study_id").image
    collection(checkout.folder / "mine", reports=6)
    assert checkout.snakemake(*words).returncode == 0
    after = pd.read_parquet(checkout.folder / images).set_index("study_id").image
    assert set(after.index) - set(before.index) == {"r5"}
    assert (after[before.index] == before).all()
    logs = checkout.folder / "results/tiny/logs"
    again = {str(path.relative_to(logs)): "taken again" in path.read_text() for path in logs.rglob("*.log")}
    assert again["train_autoencoder/diffusion.log"] and again["train_diffusion/diffusion.log"]
    computed = [number for number in range(3) if not again[f"synthesize/diffusion/mine/{number}.log"]]
    assert computed == [seeds.shard_of("r5", 3)]


# What shows that a job is in the middle of its work, in the order in which the jobs run: the state that it saved, or
# lines of its log, of which the first is written when all modules are loaded. compare writes one for each data set.
STATES = {
    "train_autoencoder": "scratch/autoencoder-*/state.pt",
    "synthesize": "scratch/synthesize-*/state.pt",
    "pretrain": "scratch/gloria-*/state.pt",
    "detect": "scratch/detection-*/state.pt",
}
AT_WORK = [
    *((f"results/tiny/logs/{job}/**/*.log", 1) for job in ("draw_phantoms", "anonymize")),
    *((state, 0) for state in STATES.values()),
    ("results/tiny/logs/compare.log", 2),
]


def test_killed_at_every_stage_on_one_core_and_in_another_folder_it_ends_in_the_same_bytes(copied, checkout):
    """One method, one source: all else is as in the whole study, but for tables of less; those are made anew there."""
    words = ("--configfile", "tiny.yaml", "few.yaml", "--cores", "1")
    for place in (copied, checkout):
        (place.folder / "few.yaml").write_text(
            "encoders: {methods: [gloria]}\nsources: {real: null}\ntables: {compare: {reference: mixed}}\n"
        )
    assert planned(copied, *words) == TABLES
    assert copied.snakemake(*words).returncode == 0
    for pattern, lines in AT_WORK:
        process = checkout.start(*words, SYNVLP_CHECKPOINT_SECONDS="0")
        wait_for(pattern, checkout, process, lines)
        checkout.kill(process)
        checkout.snakemake("--unlock", *words)
    done = checkout.snakemake(*words)
    assert done.returncode == 0, done.stderr[-3000:]
    for job in STATES:
        logs = (checkout.folder / "results/tiny/logs" / job).rglob("*.log")
        assert any("going on from" in log.read_text() for log in logs), job
    found, wanted = checkout.artifacts(), copied.artifacts()
    # The code of the methods that are left out is noted in the whole study alone.
    few, whole = (json.loads(made.pop("tiny/code.json"))["fingerprints"] for made in (found, wanted))
    assert few and few.items() <= whole.items()
    assert len(found) > 80 and {"tiny/tables/index.html", "tiny/tables/comparison.csv"} <= set(found)
    assert [name for name in found if found[name] != wanted[name]] == []
