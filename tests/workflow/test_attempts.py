"""What jobs ask a cluster for, and that each task of a job array runs its own job."""

import base64
import itertools
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import yaml
from snakemake.profiles import ProfileConfigFileParser

from synvlp import arrays, attempts
from synvlp.study import JOBS

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "profiles/slurm/profile.v9+.yaml"


def profile() -> dict[str, list[str]]:
    """The profile as Snakemake reads it."""
    with PROFILE.open() as file:
        return ProfileConfigFileParser().parse(file)


def rules_with_a_gpu() -> set[str]:
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    return {part.split(":")[0] for part in re.split(r"^rule ", text, flags=re.M)[1:] if "        gpu=" in part}


@pytest.fixture(autouse=True)
def of_no_cluster(monkeypatch):
    for name in list(os.environ):
        if name.startswith("SYNVLP_"):
            monkeypatch.delenv(name)


def test_memory_and_time_double_up_to_the_limits(monkeypatch):
    monkeypatch.setenv("SYNVLP_MAX_MEM_MB", "10000")
    monkeypatch.setenv("SYNVLP_MAX_MINUTES", "100")
    assert [attempts.memory(4000)(None, attempt) for attempt in (1, 2, 3, 4)] == [4000, 8000, 10000, 10000]
    assert [attempts.minutes(30)(None, attempt) for attempt in (1, 2, 3)] == [30, 60, 100]
    for attempt in (1, 2, 3):
        assert eval(attempts.expression("mem_mb", 4000), {"min": min, "attempt": attempt}) == attempts.memory(4000)(
            None, attempt
        )


@pytest.mark.parametrize("text", ["64G", "0", "-1"])
def test_a_wrong_limit_is_named(text, monkeypatch):
    monkeypatch.setenv("SYNVLP_MAX_MEM_MB", text)
    with pytest.raises(ValueError, match=f"SYNVLP_MAX_MEM_MB is '{text}'"):
        attempts.limit("mem_mb")


def test_the_profile_names_partitions_and_account_from_the_environment_alone(monkeypatch):
    assert not re.search("slurm_partition|slurm_account|slurm_extra", str(profile()))
    for name, value in {"CPU_PARTITION": "all", "GPU_PARTITION": "big", "ACCOUNT": "007", "SBATCH": "--nice=9"}.items():
        monkeypatch.setenv(f"SYNVLP_{name}", value)
    made = profile()
    assert {"slurm_partition='all'", "slurm_account='007'", "slurm_extra='--nice=9'"} <= set(made["default-resources"])
    on_gpus = {item.partition(":")[0] for item in made["set-resources"] if item.endswith(":slurm_partition='big'")}
    assert on_gpus == rules_with_a_gpu()


def test_the_profile_speaks_of_rules_and_variables_that_exist():
    made = profile()
    assert {item.partition(":")[0] for item in made["set-resources"]} <= set(JOBS)
    assert set(made["slurm-array-jobs"].split(",")) <= set(JOBS)
    used = set(re.findall(r"SYNVLP_\w+", "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))))
    used |= {f"SYNVLP_{name}" for name in ("CPU_PARTITION", "GPU_PARTITION", "ACCOUNT", "SBATCH")}
    assert set(re.findall(r"export (\w+)=", (ROOT / "profiles/slurm/cluster.env").read_text())) <= used


def test_the_file_of_a_cluster_is_what_holds_without_it(monkeypatch):
    source = ". profiles/slurm/cluster.env && env"
    said = subprocess.run(["bash", "-euc", source], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    without = [attempts.limit(resource) for resource in attempts.LIMITS], profile()
    for name, value in re.findall(r"^(SYNVLP_\w+)=(.*)$", said, flags=re.M):
        monkeypatch.setenv(name, value)
    assert os.environ["SYNVLP_MAX_MEM_MB"] and not os.environ["SYNVLP_ACCOUNT"]
    assert ([attempts.limit(resource) for resource in attempts.LIMITS], profile()) == without


def test_the_profile_keeps_what_holds_everywhere():
    default = yaml.safe_load((ROOT / "profiles/default/profile.v9+.yaml").read_text())
    made = profile()
    assert {key: made[key] for key in default} == {key: str(value) for key, value in default.items()}


def test_every_key_of_the_profile_is_explained():
    lines = PROFILE.read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        # __definitions__ belongs to the line above it.
        if re.match(r"[\w-]+:", line) and not line.startswith("__definitions__:"):
            assert before.startswith("#"), line


def packed(command: str) -> str:
    return zlib.compress(command.encode()).hex()


def test_a_task_of_an_array_finds_its_own_job():
    payload = base64.b64encode(json.dumps({"2": packed("two --x"), "3": packed("three")}).encode()).decode()
    words = ["snakemake", f"--slurm-jobstep-array-execs={payload}"]
    assert arrays.own_command(words, {"SLURM_ARRAY_TASK_ID": "2"}) == "two --x"
    assert arrays.own_command(words, {"SLURM_ARRAY_TASK_ID": "3"}) == "three"
    assert arrays.own_command(words, {"SLURM_ARRAY_TASK_ID": "1"}) is None
    assert arrays.own_command(words, {}) is None
    assert arrays.own_command(["snakemake"], {"SLURM_ARRAY_TASK_ID": "2"}) is None


def test_a_task_becomes_its_own_job():
    payload = base64.b64encode(json.dumps({"2": packed("echo $PPID mine; exit 3")}).encode()).decode()
    code = "from synvlp import arrays; arrays.become_own_job(); print('not mine')"
    done = subprocess.run(
        [sys.executable, "-c", code, f"--slurm-jobstep-array-execs={payload}"],
        env={**os.environ, "SLURM_ARRAY_TASK_ID": "2"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (3, f"{os.getpid()} mine\n")
