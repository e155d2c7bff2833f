"""Fingerprints of code: what a job runs, blind to comments, docstrings and formatting.

What a file's syntax tree says is kept beside it in __pycache__, as Python keeps its bytecode, so that only what was
edited is parsed again.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from synvlp.store import files

PACKAGE = Path(__file__).parent
# What could be the name of a file of package data or of its folder.
_NAME = re.compile(r"[\w.-]{1,255}")


@dataclass(frozen=True)
class _Syntax:
    """What is asked of a file's syntax tree without docstrings.

    Attributes:
        digest: of the tree.
        imports: all dotted names that it imports, of any package; of `from a import b` both a and a.b.
        words: its text constants that could be the name of a file or folder.
        relative: whether it has a relative import.
    """

    digest: str
    imports: tuple[str, ...]
    words: frozenset[str]
    relative: bool


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
        found |= {_path(name), *_data(name)}
    return sorted(found)


def outline(module: str) -> dict[str, str]:
    """Digest of each function, method and class of one module, by name, so that a change can be told by name.

    What stands outside of them is "(top level)"; the package data that the module reads is by its file's name.
    """
    tree = _bare(_path(module).read_bytes())
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
    for path in _data(module):
        found[path.name] = digest([_content(path)])
    return found


def docstring(module: str) -> str:
    """The first line of a module's docstring, without importing it."""
    return (ast.get_docstring(ast.parse(_path(module).read_bytes())) or "").partition("\n")[0]


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
def _imports(module: str) -> tuple[str, ...]:
    syntax = _syntax(_path(module))
    if syntax.relative:
        raise ValueError(f"{module}: relative imports are not used here")
    return tuple(name for name in syntax.imports if _path(name))


@functools.cache
def _code(module: str) -> str:
    return digest([_syntax(_path(module)).digest, *map(_content, _data(module))])


@functools.cache
def _syntax(path: Path) -> _Syntax:
    """What a file's tree says: as kept, if the file, the rules of this module and Python are the same, else parsed."""
    source = path.read_bytes()
    key = hashlib.sha256(b"\0".join([sys.version.encode(), _rules(), source])).hexdigest()
    # Beside the bytecode, so that PYTHONPYCACHEPREFIX and several versions of Python work as they do for that.
    place = Path(importlib.util.cache_from_source(str(path))).with_suffix(".syntax.json")
    kept = _kept(place, key)
    if kept is None:
        kept = _parsed(source)
        _keep(place, key, kept)
    return kept


@functools.cache
def _rules() -> bytes:
    return Path(__file__).read_bytes()


def _parsed(source: bytes) -> _Syntax:
    tree = _bare(source)
    imports, words, relative = set(), set(), False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative |= node.level > 0
            imports.update([str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAME.fullmatch(node.value):
            words.add(node.value)
    return _Syntax(digest([ast.dump(tree)]), tuple(sorted(imports)), frozenset(words), relative)


def _kept(place: Path, key: str) -> _Syntax | None:
    """What was kept of a file under this key; None if that is another, damaged or missing."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        held = json.loads(place.read_text(encoding="utf-8"))
        if held["key"] == key and held["check"] == _check(key, held["syntax"]):
            syntax = held["syntax"]
            return _Syntax(
                syntax["digest"], tuple(syntax["imports"]), frozenset(syntax["words"]), bool(syntax["relative"])
            )
    return None


def _keep(place: Path, key: str, syntax: _Syntax) -> None:
    plain = {**asdict(syntax), "imports": list(syntax.imports), "words": sorted(syntax.words)}
    # A folder that may not be written, or a full disk: it is parsed anew each time.
    with contextlib.suppress(OSError):
        files.write_text(place, json.dumps({"key": key, "check": _check(key, plain), "syntax": plain}))


def _check(key: str, plain: object) -> str:
    return digest([key, json.dumps(plain, sort_keys=True)])


def _bare(source: bytes) -> ast.Module:
    """A syntax tree without docstrings."""
    tree = ast.parse(source)
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


def _data(module: str) -> list[Path]:
    """The package data that a module reads (word lists, templates).

    A file beside modules is read by those that name it, with or without its ending, or else by whoever imports their
    package; the files of a folder that is no package by those that name the folder.
    """
    here = _path(module)
    if here.name == "__init__.py":
        others = [path for path in here.parent.glob("*.py") if path != here]
        named = {word for path in others for word in _syntax(path).words}
        return [path for path in _data_files(here.parent) if not {path.name, path.stem} & named]
    named = _syntax(here).words
    found = [path for path in _data_files(here.parent) if {path.name, path.stem} & named]
    for folder in sorted(here.parent.iterdir()):
        if folder.name in named and folder.is_dir() and not (folder / "__init__.py").exists():
            found += _data_files(folder)
    return found


def _data_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in {".txt", ".json", ".html", ".css", ".csv"})


def _has_docstring(node: ast.AST) -> bool:
    return ast.get_docstring(node, clean=False) is not None
