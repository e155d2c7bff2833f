"""`synvlp plan`: work is counted from settings and sizes, seconds come from benchmarks or rates, and it says which."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from synvlp import cli, costs, plan
from synvlp.dag import Job
from synvlp.study import Study, overlaid

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
FLAGS = (
    "--architecture resnet50 --image-size 224 --text-layers 12 --text-hidden 768 --length 112"
    " --steps 100 --batch 32 --accumulate 1 --cpu-threads 1"
)
DRAW = "--steps 20 --guidance 4.0 --copies 1 --cpu-threads 1"


def study(**overlay: object) -> Study:
    """The demo with 100 patients of two studies each, and an overlay on it."""
    small = {"corpora": {"phantom": {"patients": 100, "max_studies": 3}}}
    return Study(overlaid(overlaid(CONFIG, small), overlay))


def job(rule: str, flags: str = "", **more: object) -> Job:
    """A job of a fake DAG; `made` and `read` are paths, the rest are wildcards."""
    made, read = more.pop("made", f"{rule}.out"), more.pop("read", [])
    name = "-".join([rule, *more.values()])
    return Job(
        rule=rule,
        wildcards=more,
        input=read,
        output={"output": made},
        params={"settings": flags},
        resources={"gpu": 1} if rule in {"pretrain", "synthesize"} else {},
        threads=1,
        log=[f"logs/{name}.log"],
        benchmark=f"benchmarks/{name}.tsv",
        command="",
        reason="",
    )


def pretrain(flags: str = FLAGS, seed: str = "0") -> Job:
    return job("pretrain", flags, method="convirt", source="real", seed=seed, made=f"encoder-{seed}")


def ran(done: Job, seconds: float, flags: str, device: str = "1 CPU thread(s)", more: str = "") -> None:
    """Leave the benchmark file and the log of a job that ran with these settings."""
    for path in (done.benchmark, done.log[0]):
        Path(path).parent.mkdir(exist_ok=True)
    Path(done.benchmark).write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    computing = f"2030-01-01 00:00:01 computing on {device}\n" if device else ""
    Path(done.log[0]).write_text(f"2030-01-01 00:00:00 {done.rule} {flags}\n{computing}{more}")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def hours(plan_: plan.Plan) -> float:
    return plan_.total.gpu_hours or plan_.total.cpu_hours


def test_work_of_pretraining_is_that_of_the_published_networks():
    """ResNet-50 at 224 pixels and a BERT of 12 layers over 112 tokens: 8.2 and 19.5 GFLOP, three times for training."""
    work = costs.work(pretrain(), costs.Settings(FLAGS), costs.Sizes(study()))
    assert work == pytest.approx(100 * 32 * 3 * (8.17 + 19.5) / 1000, rel=0.01)


def test_work_of_drawing_counts_passes_and_shards():
    generator = {"kind": "published", "adopt_pipeline": {"pipeline_folder": "nowhere"}}
    parts = study(
        generators={"diffusion": None, "sd": generator},
        pair_sets={"synthetic": {"generator": "sd"}},
        images={"shards": 4},
    )
    drawing = job("synthesize", DRAW, generator="sd", corpus="phantom", shard="0")
    work = costs.work(drawing, costs.Settings(DRAW), costs.Sizes(parts))
    assert work == pytest.approx(200 * 0.8 / 4 * (40 * 0.803 + 2.51))
    unguided = costs.work(drawing, costs.Settings(DRAW.replace("4.0", "1.0")), costs.Sizes(parts))
    assert unguided == pytest.approx(200 * 0.8 / 4 * (20 * 0.803 + 2.51))
    written = costs.written(drawing, costs.Settings(DRAW), costs.Sizes(parts))
    assert written == pytest.approx(200 * 0.8 / 4 * 512**2 * costs.RATES["png_bytes_per_pixel"])


def test_default_rates_and_the_kind_of_gpu():
    slow, fast = (plan.make(study(), [pretrain()], gpu) for gpu in ("A100", "H100"))
    work = costs.work(pretrain(), costs.Settings(FLAGS), costs.Sizes(study()))
    rate = costs.RATES["rules"]["pretrain"]
    assert slow.total.gpu_hours * 3600 == pytest.approx(rate["start"] + work / (312 * rate["share"]))
    assert fast.total.gpu_hours < slow.total.gpu_hours
    assert "default rate (1 of 1)" in slow.bases["pretrain"] and "the A100's peak" in slow.bases["pretrain"]
    without = plan.make(study(), [pretrain()])
    assert without.total.gpu_hours == 0 and without.total.cpu_hours > slow.total.cpu_hours
    assert rate["source"] in without.bases["pretrain"]


def test_a_benchmark_of_the_same_settings_is_the_estimate():
    ran(pretrain(), 3600, FLAGS)
    made = plan.make(study(), [pretrain()])
    assert made.total.cpu_hours == pytest.approx(1) and made.bases["pretrain"] == "own benchmark (1 of 1)"


def test_a_benchmark_is_scaled_by_what_changed():
    start = costs.RATES["rules"]["pretrain"]["start"]
    ran(pretrain(), 3600 + start, FLAGS)
    twice = pretrain(FLAGS.replace("--steps 100", "--steps 200"))
    assert hours(plan.make(study(), [twice])) * 3600 == pytest.approx(7200 + start)


def test_other_jobs_of_the_rule_take_the_measured_rate():
    start = costs.RATES["rules"]["pretrain"]["start"]
    ran(pretrain(), 3600 + start, FLAGS)
    made = plan.make(study(), [pretrain(), pretrain(FLAGS, "1")])
    assert made.total.cpu_hours * 3600 == pytest.approx(2 * (3600 + start))
    assert made.bases["pretrain"] == "own benchmark (1 of 2); own benchmarks of the rule (1 of 2)"


@pytest.mark.parametrize(
    ("device", "gpu", "used"),
    [
        ("1 CPU thread(s)", "cpu", True),
        ("1 CPU thread(s)", "A100", False),
        ("NVIDIA A100-SXM4-80GB", "A100", True),
        ("NVIDIA H100 80GB HBM3", "A100", False),
        ("NVIDIA GeForce RTX 3090", "RTX3090", True),
        ("NVIDIA A100-SXM4-80GB", "cpu", False),
    ],
)
def test_a_benchmark_counts_for_its_own_kind_of_machine(device, gpu, used):
    ran(pretrain(), 3600, FLAGS, device)
    assert ("own benchmark" in plan.make(study(), [pretrain()], gpu).bases["pretrain"]) == used


@pytest.mark.parametrize(
    "line",
    [
        "2030-01-01 00:00:02 going on from scratch/state.pt\n",
        "2030-01-01 00:00:02 settings, inputs and code are those of the last run; its outputs are taken again\n",
    ],
)
def test_a_job_that_did_not_do_all_its_work_is_no_measurement(line):
    ran(pretrain(), 3, FLAGS, more=line)
    assert "default rate" in plan.make(study(), [pretrain()]).bases["pretrain"]


def test_a_benchmark_without_its_log_is_no_measurement():
    ran(pretrain(), 3600, FLAGS)
    Path(pretrain().log[0]).unlink()
    assert "default rate" in plan.make(study(), [pretrain()]).bases["pretrain"]


def test_a_rule_without_a_rate_is_named():
    made = plan.make(study(), [job("fold")])
    assert made.bases["fold"].startswith("no rate known") and list(made.stages) == ["other"]


def test_several_gpus_share_the_work():
    one = pretrain()
    four = dataclasses.replace(one, resources={"gpu": 4})
    start = costs.RATES["rules"]["pretrain"]["start"] / 3600
    alone, together = (plan.make(study(), [item], "A100").total for item in (one, four))
    assert together.chain_hours - start == pytest.approx((alone.chain_hours - start) / 4)
    assert together.gpu_hours == pytest.approx(4 * together.chain_hours)


def test_the_longest_chain():
    made = [job("a", made="a"), job("b", made="b", read=["a"]), job("c", made="c"), job("d", made="d", read=["b", "c"])]
    assert plan.longest_chain(made, [1, 2, 10, 1]) == [2, 3]
    assert plan.longest_chain(made, [1, 12, 10, 1]) == [0, 1, 3]
    assert plan.longest_chain([], []) == []


def test_studies_are_counted_given_or_assumed(tmp_path):
    listing = tmp_path / "manifest.csv"
    corpus = {"kind": "manifest", "path": str(listing)}
    named = {"own": corpus, "mimic": corpus}
    parts = study(corpora=named, reports={"published": list(named)}, pair_sets={"real": {"corpus": "own"}})
    assert costs.Sizes(parts).corpus("phantom").studies == 200
    assert costs.Sizes(parts).corpus("own").studies == costs.RATES["studies"][""]
    assert costs.Sizes(parts).corpus("mimic").studies == 213384
    listing.write_text('image_id,split,text\na,train,"one\ntwo"\nb,test,x\nc,val,y\n')
    found = costs.Sizes(parts).corpus("own")
    assert (found.studies, found.train, found.drawn) == (3, 1, 2)
    assert costs.Sizes(parts, {"own": 50}).corpus("own").studies == 50
    made = tmp_path / "results/demo/corpora/own/studies.parquet"
    made.parent.mkdir(parents=True)
    pd.DataFrame({"split": ["train", "test"]}).to_parquet(made)
    assert costs.Sizes(parts).corpus("own").studies == 2


def test_every_rule_of_the_workflow_has_a_rate():
    from synvlp.study import JOBS

    assert set(JOBS) <= set(costs.RATES["rules"]), "say in src/synvlp/rates.json how fast the new rule is"
    for rule, known in costs.RATES["rules"].items():
        assert known["rate"] > 0 and known["start"] > 0 and known["source"], rule


@pytest.fixture
def tiny(checkout, monkeypatch):
    monkeypatch.chdir(checkout.folder)
    return checkout


def test_a_plan_of_the_whole_dag(tiny, capsys):
    assert cli.main(["plan", "tiny.yaml", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["study"] == "tiny" and made["gpu"] == "cpu"
    assert list(made["stages"]) == [name for name in plan.STAGES if name in made["stages"]]
    assert sum(stage["jobs"] for stage in made["stages"].values()) == made["total"]["jobs"] > 30
    assert made["chain"][0] == "draw_phantoms" and made["chain"][-1] == "write_page" and "pretrain" in made["chain"]
    assert 0 < made["total"]["cpu_hours"] < 1 and made["total"]["gpu_hours"] == 0
    assert made["corpora"]["phantom"].startswith("120 ")
    assert all("default rate" in basis for basis in made["bases"].values())
    assert not (tiny.folder / "results").exists() and not (tiny.folder / ".snakemake").exists()


def test_a_plan_needs_no_data(tiny, capsys):
    assert cli.main(["plan", "studies/open.yaml", "--gpu", "H100", "--studies", "open=1000"]) == 0
    text = capsys.readouterr().out
    assert "kind H100" in text and "1,000 (given" in text and "3,955 (docs/data.md" in text
    assert cli.main(["plan", "--studies", "none=3"]) == 1
    assert "no corpus none" in capsys.readouterr().err
