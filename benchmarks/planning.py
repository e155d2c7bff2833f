"""How long Snakemake takes to plan the paper's study, of which no data are needed.

`python benchmarks/planning.py [studies/NAME.yaml]`. Planning reads only the names and times of the files that a study
does not make itself, so that empty files stand in for them, in a checkout of its own.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from synvlp.study import Study, overlaid

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Print the number of jobs and the seconds of planning them, with nothing made yet."""
    name = sys.argv[1] if len(sys.argv) > 1 else "studies/paper.yaml"
    print(f"{name:24}{'jobs':>8}{'seconds':>9}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "checkout"
        environment = make_checkout(folder, name)
        jobs, seconds = plan(folder, name, environment)
        print(f"{'nothing made yet':24}{jobs:>8}{seconds:>9.1f}")


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


def plan(folder: Path, overlay: str, environment: dict[str, str]) -> tuple[int, float]:
    """Jobs that Snakemake would run, and how many seconds it takes to say so. Raises RuntimeError if it fails."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--configfile", overlay]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    text = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(text)
    total = re.search(r"^total\s+(\d+)", text, re.MULTILINE)
    return int(total[1]) if total else 0, seconds


if __name__ == "__main__":
    main()
