"""The jobs read from Snakemake's inner interface are those that its command line shows, and dvc.yaml follows them."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = """
import json
from synvlp import dag
print(json.dumps([[job.rule, job.output, job.params["settings"], job.command] for job in dag.jobs(["tiny.yaml"])]))
"""


def test_jobs_are_those_that_snakemake_plans(checkout):
    shown = checkout.snakemake("-n", "-p")
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout + shown.stderr
    table = text.split("Job stats:")[1].split("total")[0]
    wanted = dict(re.findall(r"^(\w+) +(\d+)$", table, flags=re.M))
    done = checkout.run(sys.executable, "-c", LIST)
    assert done.returncode == 0, done.stderr
    jobs = json.loads(done.stdout)
    assert Counter(rule for rule, *_ in jobs) == {rule: int(count) for rule, count in wanted.items() if rule != "all"}
    for rule, output, settings, command in jobs:
        assert command in text, rule
        assert settings in command
        assert all(path in command for path in output.values())


def test_a_wrong_config_is_told_as_snakemake_tells_it(checkout):
    (checkout.folder / "tiny.yaml").write_text("study: tiny\nimages: {shards: 0}\n")
    done = checkout.run(sys.executable, "-m", "synvlp", "dvc-yaml", "tiny.yaml")
    assert done.returncode == 1 and "images.shards: 0" in done.stderr and "Traceback" not in done.stderr


def test_dvc_yaml_is_what_the_rules_say():
    command = [sys.executable, "-m", "synvlp", "dvc-yaml", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
