"""How long it takes to record a run in which one of a study's artifacts changed.

`python benchmarks/recording.py [studies/NAME.yaml]`, by default the demo, which has some 250 artifacts. Small files
stand in for all results, as in planning.py.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from planning import make_checkout, make_results, plan, timed

from synvlp import dag


def main() -> None:
    """Print the seconds of recording everything, one changed artifact and nothing, and of planning to compare."""
    name = sys.argv[1] if len(sys.argv) > 1 else "config.yaml"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "checkout"
        environment = make_checkout(folder, name) | {"DVC_NO_ANALYTICS": "1"}
        jobs = make_results(folder, name, environment)
        artifacts = sum(len(job.output) for job in jobs)
        for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
            subprocess.run(command, cwd=folder, env=environment, check=True)
        print(f"{name}: {len(jobs)} jobs, {artifacts} artifacts")
        print(f"{'recording':24}{'seconds':>9}{'of CPU':>9}")
        record("all artifacts", folder, name, environment)
        change(table_of(jobs), folder, name, environment)
        record("one changed artifact", folder, name, environment)
        record("nothing new", folder, name, environment)
        _, seconds, computing = plan(folder, name, environment)
        print(f"{'snakemake -n, to compare':24}{seconds:>9.1f}{computing:>9.1f}")


def record(what: str, folder: Path, overlay: str, environment: dict[str, str]) -> None:
    """Print the seconds of `synvlp record`, which every run calls at its end. Raises RuntimeError if it fails."""
    command = [sys.executable, "-m", "synvlp", "record", overlay]
    said, seconds, computing = timed(command, folder, environment)
    if "stages recorded" not in said:
        raise RuntimeError(said)
    print(f"{what:24}{seconds:>9.1f}{computing:>9.1f}", flush=True)


def table_of(jobs: Sequence[dag.Job]) -> str:
    """A result that few others follow from."""
    return next(path for job in jobs for path in job.output.values() if path.endswith("tables/summary.csv"))


def change(path: str, folder: Path, overlay: str, environment: dict[str, str]) -> None:
    """Make a file anew, with other content."""
    (folder / path).write_text("another")
    command = [sys.executable, "-m", "snakemake", path, "--touch", "--force", "--no-hooks", "--cores", "1"]
    subprocess.run([*command, "--configfile", overlay], cwd=folder, env=environment, check=True, capture_output=True)


if __name__ == "__main__":
    main()
