"""What a finished study cost: time and memory by kind of job, from the records that Snakemake keeps.

`python benchmarks/study.py [results/demo]`. The span from the first job's start to the last one's end is the
study's own time; the seconds of its jobs add up over the cores.
"""

import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Print one row per rule: jobs, seconds, the largest memory of a process tree."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results/demo"
    paths = sorted((folder / "benchmarks").rglob("*.tsv"))
    if not paths:
        print(f"{folder} holds no finished study: run `make demo` first")
        return 0
    frame = pd.concat([_read(path, folder) for path in paths], ignore_index=True)
    table = frame.groupby("rule").agg(
        jobs=("s", "size"), seconds=("s", "sum"), longest=("s", "max"), memory_mb=("max_rss", "max")
    )
    print(table.sort_values("seconds", ascending=False).round(1).to_string())
    span = (frame.end.max() - (frame.end - frame.s).min()) / 60
    print(
        f"\n{len(frame)} jobs, {frame.s.sum() / 60:.1f} minutes of jobs, {span:.1f} minutes from first to last, "
        f"largest job {frame.max_rss.max():.0f} MB"
    )
    return 0


def _read(path: Path, folder: Path) -> pd.DataFrame:
    row = pd.read_csv(path, sep="\t", na_values="-").tail(1)[["s", "max_rss"]]
    name = path.relative_to(folder / "benchmarks").parts[0]
    return row.assign(rule=name.removesuffix(".tsv"), end=path.stat().st_mtime)


if __name__ == "__main__":
    sys.exit(main())
