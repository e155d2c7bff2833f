"""Fingerprints of code: what a job runs, blind to comments, docstrings and formatting."""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).parent


def digest(parts: Iterable[str]) -> str:
    """Sixteen hexadecimal digits that stand for a list of texts."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def fingerprint(module: str) -> str:
    """Digest of a module's code and of everything in synvlp that it imports, at any depth.

    Raises ValueError if there is no such module.
    """
    return digest(f"{name} {_code(name)}" for name in sorted(closure(module)))


@functools.cache
def closure(module: str) -> frozenset[str]:
    """The synvlp modules that running `module` can import, itself included; also inside functions."""
    if _path(module) is None:
        raise ValueError(f"there is no module {module}")
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(_imports(name))
    return frozenset(seen)


def docstring(module: str) -> str:
    """The first line of a module's docstring, without importing it."""
    return (ast.get_docstring(_tree(module)) or "").partition("\n")[0]


@functools.cache
def _path(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return None
    base = PACKAGE.joinpath(*parts[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_path(module).read_bytes())


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    found = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{module}: relative imports are not used here")
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        else:
            continue
        found.update(name for name in names if _path(name))
    return tuple(sorted(found))


@functools.cache
def _code(module: str) -> str:
    tree = ast.parse(_path(module).read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _has_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in _data(module, tree)]
    return digest([ast.dump(tree), *contents])


def _data(module: str, tree: ast.Module) -> list[Path]:
    """The package data that a module reads (word lists, templates): it names each file's stem, or its folder."""
    named = "\n".join(
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    folder = _path(module).parent
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".txt", ".json", ".html", ".css", ".csv"}
        and (path.stem in named or (path.parent != folder and path.parent.name in named))
    ]


def _has_docstring(node: ast.AST) -> bool:
    return ast.get_docstring(node, clean=False) is not None
