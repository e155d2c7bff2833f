"""How long fingerprints of the code take, and how long Snakemake takes to plan the paper's study, without its data.

`python benchmarks/planning.py [studies/NAME.yaml]`. Planning reads only the names and times of the files that a study
does not make itself, so that empty files stand in for them, in a checkout of its own. For the plan with nothing to do,
small files stand in for the results, and `snakemake --touch` notes them as made.
"""

import contextlib
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from synvlp import dag
from synvlp.study import Study, overlaid

ROOT = Path(__file__).parent.parent
FINGERPRINTS = """
import sys, time
from pathlib import Path
import yaml
from synvlp.study import Study, overlaid
config = yaml.safe_load(Path("config.yaml").read_text())
study = Study(overlaid(config, yaml.safe_load(Path(sys.argv[1]).read_text())))
start, computing = time.perf_counter(), time.process_time()
print(len(study.fingerprints()), time.perf_counter() - start, time.process_time() - computing)
"""


def main() -> None:
    """Print how many fingerprints or jobs to run there are, and the seconds that it takes to find that out."""
    name = sys.argv[1] if len(sys.argv) > 1 else "studies/paper.yaml"
    print(f"{name:26}{'number':>8}{'seconds':>9}{'of CPU':>9}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "checkout"
        environment = make_checkout(folder, name)
        for what in ("fingerprints, all parsed", "fingerprints, as kept"):
            show(what, fingerprints(folder, name, {**environment, "PYTHONPYCACHEPREFIX": f"{place}/bytecode"}))
        show("nothing made yet", plan(folder, name, environment))
        make_results(folder, name, environment)
        show("nothing to do", plan(folder, name, environment))
        scramble_times(folder / "results")
        show("nothing to do, new times", plan(folder, name, environment))


def fingerprints(folder: Path, overlay: str, environment: dict[str, str]) -> tuple[int, float, float]:
    """The number of modules that run a job, and the seconds that all their fingerprints take, without imports."""
    words = [sys.executable, "-c", FINGERPRINTS, overlay]
    found = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    return int(found[0]), float(found[1]), float(found[2])


def show(what: str, found: tuple[int, float, float]) -> None:
    """Print a row of the table."""
    jobs, seconds, computing = found
    print(f"{what:26}{jobs:>8}{seconds:>9.2f}{computing:>9.2f}", flush=True)


def make_checkout(folder: Path, overlay: str) -> dict[str, str]:
    """Copy what planning needs into `folder` and put empty files in place of all that a study reads from outside.

    Args:
        folder: made here.
        overlay: path of the study's YAML, relative to the project.

    Returns:
        The environment to plan in: every variable that the study names points into `folder`.
    """
    folder.mkdir(parents=True)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder)
    for name in ("rules", "profiles", "studies"):
        shutil.copytree(ROOT / name, folder / name)
    text = (folder / overlay).read_text(encoding="utf-8")
    variables = {name: f"outside/{name.lower()}" for name in re.findall(r"\$\{(\w+)", text)}
    os.environ.update(variables)
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    for path in Study(overlaid(config, yaml.safe_load(text))).files_from_outside():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return {**os.environ, **variables}


def make_results(folder: Path, overlay: str, environment: dict[str, str]) -> list[dag.Job]:
    """Put small files in place of all results, with the notes that Snakemake leaves of jobs that ran."""
    with contextlib.chdir(folder):
        jobs = dag.jobs([overlay])
        for path in (path for job in jobs for path in job.output.values()):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(path)
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--touch",
        "--forceall",
        "--no-hooks",
        "--cores",
        "1",
        "--quiet",
        "all",
    ]
    subprocess.run([*command, "--configfile", overlay], cwd=folder, env=environment, check=True, capture_output=True)
    return jobs


def scramble_times(folder: Path) -> None:
    """Give all files new times in any order, as a checkout does."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    random.Random(0).shuffle(paths)
    for path in paths:
        path.touch()


def plan(folder: Path, overlay: str, environment: dict[str, str]) -> tuple[int, float, float]:
    """Jobs that Snakemake would run, how many seconds it takes to say so, and how many of these it computes.

    Raises RuntimeError if it fails.
    """
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--configfile", overlay]
    text, seconds, computing = timed(command, folder, environment)
    total = re.search(r"^total\s+(\d+)", text, re.MULTILINE)
    if not total and "Nothing to be done" not in text:
        raise RuntimeError(text)
    return int(total[1]) if total else 0, seconds, computing


def timed(command: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[str, float, float]:
    """What a command says, how many seconds it takes, and how many of these its processes compute.

    Raises RuntimeError if it fails.
    """
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    computing = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout + done.stderr, seconds, computing


if __name__ == "__main__":
    main()
