"""Write docs/settings.md, studies/schema.json, dvc.yaml and the README's picture of the DAG anew: `make docs`."""

import re
import subprocess
import sys
from pathlib import Path

from synvlp import reference

ROOT = Path(__file__).parent.parent
STAGES = ("corpora", "reports", "concepts", "generators", "images", "encoders", "tasks", "tables")


def main() -> None:
    """Write every page that is made from the code."""
    (ROOT / "docs/settings.md").write_text(reference.markdown(), encoding="utf-8")
    (ROOT / "studies/schema.json").write_text(reference.json_schema(), encoding="utf-8")
    readme = ROOT / "README.md"
    picture = f"<!-- dag -->\n```mermaid\n{dag()}\n```\n<!-- /dag -->"
    text = re.sub(r"<!-- dag -->.*<!-- /dag -->", picture, readme.read_text(encoding="utf-8"), flags=re.S)
    readme.write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "synvlp", "dvc-yaml"], cwd=ROOT, check=True)


def dag() -> str:
    """The default study's rules as a Mermaid flowchart, one box per stage."""
    graph = subprocess.run(
        [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", graph))
    edges = {(names[one], names[other]) for one, other in re.findall(r"(id\d+) --> (id\d+)", graph)}
    edges = sorted(edge for edge in edges if "all" not in edge)
    shown = {name for edge in edges for name in edge}
    lines = ["flowchart LR"]
    for stage in STAGES:
        rules = [rule for rule in rules_of(ROOT / f"rules/{stage}.smk") if rule in shown]
        if rules:  # a stage that the default study leaves out would be an empty box
            lines.append(f"  subgraph {stage}")
            lines += [f"    {rule}[{rule.replace('_', ' ')}]" for rule in rules]
            lines.append("  end")
    return "\n".join([*lines, *(f"  {one} --> {other}" for one, other in edges)])


def rules_of(path: Path) -> list[str]:
    """The rules of a file and of those that it includes, in their order."""
    found = []
    for rule, included in re.findall(r'^(?:rule (\w+):|include: "(.+)")', path.read_text(encoding="utf-8"), flags=re.M):
        found += [rule] if rule else rules_of(path.parent / included)
    return found


if __name__ == "__main__":
    main()
