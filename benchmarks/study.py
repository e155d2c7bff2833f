"""What a finished study cost: time and memory by kind of job, from the records that Snakemake keeps.

`python benchmarks/study.py [results/demo] [--minutes M] [--gb G]`. The span from the first job's start to the last
one's end is the study's own time; the seconds of its jobs add up over the cores. Times are a machine's own, so that
nothing fails unless a limit is given.
"""

import argparse
import math
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Print one row per rule: jobs, seconds, the largest memory of a process tree.

    The exit status is 1 if the study took more than a limit, and 2 if there is none.
    """
    given = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    given.add_argument("folder", nargs="?", type=Path, default=ROOT / "results/demo", help="the results of a study")
    given.add_argument("--minutes", type=float, default=math.inf, help="from first to last, at most")
    given.add_argument("--gb", type=float, default=math.inf, help="memory of the largest job, at most")
    asked = given.parse_args()
    paths = sorted((asked.folder / "benchmarks").rglob("*.tsv"))
    if not paths:
        print(f"{asked.folder} holds no finished study: run `make demo` first")
        return 2
    frame = pd.concat([_read(path, asked.folder) for path in paths], ignore_index=True)
    table = frame.groupby("rule").agg(
        jobs=("s", "size"), seconds=("s", "sum"), longest=("s", "max"), memory_mb=("max_rss", "max")
    )
    print(table.sort_values("seconds", ascending=False).round(1).to_string())
    span = (frame.end.max() - (frame.end - frame.s).min()) / 60
    largest = frame.max_rss.max()
    print(
        f"\n{len(frame)} jobs, {frame.s.sum() / 60:.1f} minutes of jobs, {span:.1f} minutes from first to last, "
        f"largest job {largest:.0f} MB"
    )
    over = [
        f"{found:.1f} {unit} are more than {limit:g}"
        for found, limit, unit in ((span, asked.minutes, "minutes"), (largest / 1000, asked.gb, "GB"))
        if found > limit
    ]
    print("\n".join(over), file=sys.stderr, end="\n" if over else "")
    return int(bool(over))


def _read(path: Path, folder: Path) -> pd.DataFrame:
    row = pd.read_csv(path, sep="\t", na_values="-").tail(1)[["s", "max_rss"]]
    name = path.relative_to(folder / "benchmarks").parts[0]
    return row.assign(rule=name.removesuffix(".tsv"), end=path.stat().st_mtime)


if __name__ == "__main__":
    sys.exit(main())
