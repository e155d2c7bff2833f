"""How long the command line and planning take to start, and that neither imports torch."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUNS = 5
COMMANDS = {
    "synvlp --help": "from synvlp import cli; cli.main(['--help'])",
    "synvlp pretrain-gloria --help": "from synvlp import cli; cli.main(['pretrain-gloria', '--help'])",
    "snakemake -n": "from snakemake.cli import main; main(['-n', '--quiet'])",
    "import torch, for comparison": "import torch",
}


def main() -> None:
    """Print the median seconds of a few runs of each command, and whether torch was imported."""
    print(f"{'command':32}{'median s':>10}{'torch':>8}")
    for name, code in COMMANDS.items():
        program = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nsys.exit(10 + ('torch' in sys.modules))"
        seconds, status = [], 0
        for _ in range(RUNS):
            start = time.perf_counter()
            status = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True).returncode
            seconds.append(time.perf_counter() - start)
        print(f"{name:32}{statistics.median(seconds):10.2f}{'yes' if status == 11 else 'no':>8}")


if __name__ == "__main__":
    main()
