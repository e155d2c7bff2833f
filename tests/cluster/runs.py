"""Snakemake in a folder, on this machine or on a cluster, and what the tests ask it for."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from one_node import Cluster

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
ENCODER = "results/tiny/encoders/convirt/real/seed-0/image_encoder.safetensors"
SHARDS = [f"results/tiny/images/diffusion/phantom/shards/{shard}.parquet" for shard in range(3)]
BEFORE = [  # what is there before the cluster takes over
    "results/tiny/images/prompts/phantom/0.parquet",
    "results/tiny/generators/diffusion/pipeline/model_index.json",
    "results/tiny/encoders/pairs/real/pixels.npy",
    "results/tiny/encoders/tokenizer/tokenizer.json",
]
TARGETS = ["images", ENCODER]


@dataclass
class Run:
    """Snakemake in a folder, in a process of its own."""

    folder: Path
    process: subprocess.Popen
    output: Path

    def wait(self, seconds: float = 600) -> int:
        """Its exit status."""
        return self.process.wait(timeout=seconds)

    def text(self) -> str:
        """What it said so far."""
        return self.output.read_text(errors="replace")

    def end(self) -> None:
        """End it, if it has not ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass(frozen=True)
class Checkout:
    """A folder with the workflow and the tiny study in it."""

    folder: Path

    def copy(self, folder: Path) -> "Checkout":
        """A copy of it, with what was made in it."""
        return Checkout(Path(shutil.copytree(self.folder, folder)))

    def here(self, *words: str) -> Run:
        """Start Snakemake on this machine."""
        return self._start(["--cores", "2", *words], dict(os.environ))

    def on(self, cluster: Cluster, *words: str, **environment: str) -> Run:
        """Start Snakemake with the profile for SLURM, as on a login node; it asks for its jobs' state more often."""
        often = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "20"]
        names = {"CPU_PARTITION": "processors", "GPU_PARTITION": "accelerators", "MAX_MEM_MB": "64000"}
        return self._start(
            ["--workflow-profile", str(ROOT / "profiles/slurm"), "--slurm-status-command", "squeue", *often, *words],
            {**cluster.environment(), **{f"SYNVLP_{name}": value for name, value in names.items()}, **environment},
        )

    def artifacts(self) -> dict[str, bytes]:
        """Every result but logs and benchmarks, by its path."""
        results = self.folder / "results"
        return {
            str(path.relative_to(results)): path.read_bytes()
            for path in sorted(results.rglob("*"))
            if path.is_file() and not {"logs", "benchmarks"} & set(path.relative_to(results).parts)
        }

    def _start(self, words: list[str], environment: dict[str, str]) -> Run:
        output = Path(tempfile.mkstemp(dir=self.folder, suffix=".out")[1])
        environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        with output.open("wb") as file:
            command = [sys.executable, "-m", "snakemake", *words]
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
                # Tests that are started in the background of a shell ignore Ctrl-C, and so would what they start.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        return Run(self.folder, process, output)


@dataclass(frozen=True)
class Both:
    """A study that ended on the cluster and here, the cluster's jobs for it, and what Snakemake said there."""

    cluster: Checkout
    here: Checkout
    jobs: list[dict[str, str]]
    said: str


def make_checkout(folder: Path) -> Checkout:
    """The workflow and the tiny study, as after `git clone`."""
    folder.mkdir()
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder)
    for name in ("rules", "profiles", "studies"):
        shutil.copytree(ROOT / name, folder / name)
    for path in (ROOT / "tests/workflow/tiny.yaml", HERE / "study.yaml"):
        shutil.copy(path, folder)
    return Checkout(folder)
