"""What a SLURM job costs beside its own work: seconds from its start to its end, less those of its command.

On a SLURM of one node on this machine, which runs one job at a time; skipped where SLURM is not installed.
"""

import csv
import re
import shutil
import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests/cluster"))
from one_node import Cluster, missing  # noqa: E402
from runs import make_checkout  # noqa: E402

JOBS = 5
FOLDER = "results/tiny/encoders/random/none/seed-{seed}"
ALONE = ["--set-resources", "init_encoder:mem_mb=150000"]  # of 200 GB, so that the others wait


def main() -> None:
    """Print the seconds of single jobs and of an array's tasks."""
    if missing():
        print("SLURM is not installed (apt-get install slurm-wlm munge)")
        return
    columns = ("jobs", "sbatch calls", "start to end, s", "own command, s", "beside it, s")
    print(f"{'sent as':12}" + "".join(f"{column:>17}" for column in columns))
    for name, arrays in {"single jobs": "none", "an array": "init_encoder"}.items():
        folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        try:
            with Cluster(folder / "c") as cluster:
                calls, whole, own = measure(cluster, folder, arrays)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        means = (statistics.mean(whole), statistics.mean(own), statistics.mean(whole) - statistics.mean(own))
        print(f"{name:12}{len(whole):17}{calls:17}" + "".join(f"{mean:17.1f}" for mean in means))


def measure(cluster: Cluster, folder: Path, arrays: str) -> tuple[int, list[float], list[float]]:
    """The number of sbatch calls, and of each job the seconds from start to end and of its command."""
    study = make_checkout(folder / "study")
    targets = [f"{FOLDER.format(seed=seed)}/image_encoder.safetensors" for seed in range(JOBS)]
    words = ["--configfile", "tiny.yaml", "--slurm-array-jobs", arrays, *ALONE, "--", *targets]
    run = study.on(cluster, *words, SYNVLP_MAX_MEM_MB="200000")
    if run.wait() != 0:
        raise RuntimeError(run.text()[-3000:])
    moments = [
        (datetime.fromisoformat(job["StartTime"]), datetime.fromisoformat(job["EndTime"])) for job in cluster.jobs()
    ]
    logs = study.folder.glob("results/tiny/benchmarks/init_encoder/random/*.tsv")
    own = [float(next(csv.DictReader(log.open(), delimiter="\t"))["s"]) for log in logs]
    calls = len(re.findall(r"with SLURM jobid|Submitted array job", run.text()))
    return calls, [(end - start).total_seconds() for start, end in moments], own


if __name__ == "__main__":
    main()
