"""Write docs/settings.md, studies/schema.json and the picture of the DAG anew: `make docs`."""

import subprocess
import sys
from pathlib import Path

from synvlp import reference

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Write every page that is made from the code."""
    (ROOT / "docs/settings.md").write_text(reference.markdown(), encoding="utf-8")
    (ROOT / "studies/schema.json").write_text(reference.json_schema(), encoding="utf-8")
    graph = subprocess.run(
        [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (ROOT / "docs/dag.mmd").write_text(graph, encoding="utf-8")


if __name__ == "__main__":
    main()
