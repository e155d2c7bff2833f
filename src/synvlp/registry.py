"""The tasks that encoders do without training, each declared in its own module and nowhere else.

A module of the package `tasks` with a literal `TASK` is such a task. From it follow its verb, its section of the
config, its kind of data set, its rule and its place in all tables:

    TASK = {"name": "zero-shot", "of": ["classification"], "given": ["positive", "negative"]}

`name` is the verb; `of` lists the tasks whose data sets it may use (none: it has one of its own); `given` names the
settings that belong to a data set and not to the task. The literal is read without importing the module.
"""

import ast
import functools
from dataclasses import dataclass

from synvlp import provenance


@dataclass(frozen=True)
class Task:
    """A task without training, as its module declares it."""

    name: str
    of: tuple[str, ...]
    given: tuple[str, ...]

    @property
    def section(self) -> str:
        """The name of its module in `tasks`, and of its section in the config."""
        return self.name.replace("-", "_")

    @property
    def module(self) -> str:
        return f"synvlp.tasks.{self.section}"


@functools.cache
def tasks() -> dict[str, Task]:
    """All tasks without training by name: zero-shot, retrieval, grounding, then others by name."""
    found = {}
    for path in sorted((provenance.PACKAGE / "tasks").glob("*.py")):
        declared = _literal(path.read_text(encoding="utf-8"))
        if declared is not None:
            task = Task(declared["name"], tuple(declared["of"]), tuple(declared["given"]))
            if task.section != path.stem:
                raise ValueError(f"{path.name}: the task {task.name} belongs into {task.section}.py")
            found[task.name] = task
    first = ("zero-shot", "retrieval", "grounding")
    return {name: found[name] for name in sorted(found, key=lambda name: (name not in first, _place(name, first)))}


def _place(name: str, first: tuple[str, ...]) -> tuple[int, str]:
    return (first.index(name) if name in first else len(first), name)


def _literal(source: str) -> dict | None:
    if "\nTASK = " not in source:
        return None
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["TASK"]:
            return ast.literal_eval(node.value)
    return None
