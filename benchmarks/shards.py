"""How long DVC takes with a set of image shards: recording it, and `dvc status` on it.

`python benchmarks/shards.py [GB]`, by default 1 GB; files of 256 MB of random bytes, on the disk of the temporary
folder (TMPDIR), twice, since DVC keeps a copy.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from planning import timed

MEGABYTES = 256


def main() -> None:
    """Print the seconds of recording the shards and of `dvc status`, with known and with new times of the files."""
    size = float(sys.argv[1]) if len(sys.argv) > 1 else 1
    count = max(round(size * 1000 / MEGABYTES), 1)
    print(f"{f'{count} shards, {count * MEGABYTES / 1000:.1f} GB':24}{'seconds':>9}{'of CPU':>9}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shards = write_shards(folder / "shards", count)
        outputs = [{str(path.relative_to(folder)): {"persist": True}} for path in shards]
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"synthesize": {"cmd": "true", "outs": outputs}}}))
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        dvc(folder, "init", "--quiet")
        show("dvc commit", dvc(folder, "commit", "--force", "--quiet"))
        show("dvc status", dvc(folder, "status"))
        for path in shards:
            path.touch()
        show("dvc status, new times", dvc(folder, "status"))


def show(what: str, seconds: tuple[float, float]) -> None:
    """Print a row of the table."""
    print(f"{what:24}{seconds[0]:>9.1f}{seconds[1]:>9.1f}", flush=True)


def write_shards(folder: Path, count: int) -> list[Path]:
    """Files of random bytes that differ from each other and do not compress."""
    folder.mkdir()
    block = os.urandom(MEGABYTES * 1_000_000)
    paths = [folder / f"{number}.parquet" for number in range(count)]
    for path in paths:
        path.write_bytes(os.urandom(16) + block[16:])
    return paths


def dvc(folder: Path, *words: str) -> tuple[float, float]:
    """Seconds of one command of DVC, and how many of these it computes. Raises RuntimeError if it fails."""
    return timed([sys.executable, "-m", "dvc", *words], folder, os.environ | {"DVC_NO_ANALYTICS": "1"})[1:]


if __name__ == "__main__":
    main()
