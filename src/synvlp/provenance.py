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


def fingerprint(*modules: str) -> str:
    """Digest of the code of modules and of everything in synvlp that they import, at any depth.

    A job that imports modules by their names is all of these together. Raises ValueError if there is no such module.
    """
    return digest(f"{name} {_code(name)}" for name in sorted(closure(*modules)))


@functools.cache
def closure(*modules: str) -> frozenset[str]:
    """The synvlp modules that running `modules` can import, themselves included; also inside functions."""
    for module in modules:
        if _path(module) is None:
            raise ValueError(f"there is no module {module}")
    seen: set[str] = set()
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(_imports(name))
    return frozenset(seen)


def sources(*modules: str) -> list[Path]:
    """The files of modules' code: their own, those of all that they import, and the data that they read."""
    found = set()
    for name in closure(*modules):
        found |= {_path(name), *_data(name, _tree(name))}
    return sorted(found)


def outline(module: str) -> dict[str, str]:
    """Digest of each function, method and class of one module, by name, so that a change can be told by name.

    What stands outside of them is "(top level)"; the package data that the module reads is by its file's name.
    """
    tree = _bare(module)
    top = []
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = digest([ast.dump(node)])
        elif isinstance(node, ast.ClassDef):
            found.update(_members(node))
        else:
            top.append(ast.dump(node))
    found["(top level)"] = digest(top)
    for path in _data(module, tree):
        found[path.name] = digest([_content(path)])
    return found


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
    tree = _bare(module)
    return digest([ast.dump(tree), *map(_content, _data(module, tree))])


def _bare(module: str) -> ast.Module:
    """A module's syntax tree without docstrings."""
    tree = ast.parse(_path(module).read_bytes())
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and _has_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _members(node: ast.ClassDef) -> dict[str, str]:
    """Digests of a class's methods, and of the rest of it."""
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {f"{node.name}.{item.name}": digest([ast.dump(item)]) for item in methods}
    rest = [ast.dump(item) for item in (*node.bases, *node.keywords, *node.decorator_list)]
    rest += [ast.dump(item) for item in node.body if item not in methods]
    return {**found, node.name: digest(rest)}


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _data(module: str, tree: ast.Module) -> list[Path]:
    """The package data that a module reads (word lists, templates).

    A file beside modules is read by those that name it, with or without its ending, or else by whoever imports their
    package; the files of a folder that is no package by those that name the folder.
    """
    here = _path(module)
    if here.name == "__init__.py":
        others = [path for path in here.parent.glob("*.py") if path != here]
        named = {word for path in others for word in _words(ast.parse(path.read_bytes()))}
        return [path for path in _data_files(here.parent) if not {path.name, path.stem} & named]
    named = _words(tree)
    found = [path for path in _data_files(here.parent) if {path.name, path.stem} & named]
    for folder in sorted(here.parent.iterdir()):
        if folder.name in named and folder.is_dir() and not (folder / "__init__.py").exists():
            found += _data_files(folder)
    return found


def _data_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in {".txt", ".json", ".html", ".css", ".csv"})


def _words(tree: ast.Module) -> set[str]:
    """All text constants of a syntax tree."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _has_docstring(node: ast.AST) -> bool:
    return ast.get_docstring(node, clean=False) is not None
