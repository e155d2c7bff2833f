"""Fingerprints see what runs, and only that."""

import pytest

from synvlp import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in which `a` imports `b` inside a function, and `c` stands alone."""
    folder = tmp_path / "pack"
    (folder / "stage").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "stage/__init__.py": "",
        "stage/a.py": '"""A."""\nx = 1\n\ndef f():\n    """Doc."""\n    from pack.stage import b\n    return b.y\n',
        "stage/b.py": "y = 2  # two\n",
        "stage/c.py": "import pack.stage.b\nz = 3\n",
    }.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    forget()
    yield folder
    forget()


def forget():
    for function in (provenance.closure, provenance._path, provenance._syntax, provenance._imports, provenance._code):
        function.cache_clear()


def edit(package, name: str, old: str, new: str) -> None:
    path = package / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    forget()


def test_the_closure_holds_imports_inside_functions(package):
    assert provenance.closure("pack.stage.a") == {"pack.stage.a", "pack.stage.b", "pack.stage"}


@pytest.mark.parametrize(
    ("old", "new"), [('"""A."""', '"""Another."""'), ('"""Doc."""', '"""New."""'), ("x = 1", "x  =  1  # one")]
)
def test_comments_docstrings_and_formatting_are_not_seen(package, old, new):
    before = provenance.fingerprint("pack.stage.a")
    edit(package, "stage/a.py", old, new)
    assert provenance.fingerprint("pack.stage.a") == before


def test_a_change_is_seen_by_all_that_import_it(package):
    before = {name: provenance.fingerprint(f"pack.stage.{name}") for name in "abc"}
    edit(package, "stage/b.py", "y = 2", "y = 3")
    after = {name: provenance.fingerprint(f"pack.stage.{name}") for name in "abc"}
    assert all(before[name] != after[name] for name in "abc")
    edit(package, "stage/c.py", "z = 3", "z = 4")
    assert provenance.fingerprint("pack.stage.a") == after["a"]


def test_package_data_is_seen_by_the_module_that_names_it(package):
    (package / "stage/words").mkdir()
    (package / "stage/words/names.txt").write_text("one")
    edit(package, "stage/a.py", "x = 1", 'x = "words"')
    before = {name: provenance.fingerprint(f"pack.stage.{name}") for name in "ac"}
    edit(package, "stage/words/names.txt", "one", "two")
    assert provenance.fingerprint("pack.stage.a") != before["a"]
    assert provenance.fingerprint("pack.stage.c") == before["c"]


def test_package_data_beside_modules_is_seen_by_those_that_name_it_or_import_the_package(package):
    for name in ("rates.json", "page.html", "loose.css"):
        (package / "stage" / name).write_text("one")
    edit(package, "stage/a.py", "x = 1", 'x = "rates"')
    edit(package, "stage/c.py", "z = 3", 'z = "page.html of this package"')

    def changed(name: str) -> set[str]:
        before = {module: provenance.fingerprint(f"pack.stage.{module}") for module in "abc"}
        edit(package, f"stage/{name}", "one", "two")
        return {module for module in "abc" if provenance.fingerprint(f"pack.stage.{module}") != before[module]}

    assert changed("rates.json") == {"a"}
    assert changed("loose.css") == {"a"}  # the one that says `from pack.stage import …`


def test_an_outline_tells_which_function_changed(package):
    (package / "stage/d.py").write_text("LIMIT = 1\n\nclass K:\n    size = 2\n\n    def g(self):\n        return 1\n")
    before = provenance.outline("pack.stage.d")
    assert set(before) == {"(top level)", "K", "K.g"}
    edit(package, "stage/d.py", "return 1", "return 2  # two")
    after = provenance.outline("pack.stage.d")
    assert {name for name in after if after[name] != before[name]} == {"K.g"}


def test_a_missing_module_is_named(package):
    with pytest.raises(ValueError, match="no module pack\\.stage\\.d"):
        provenance.fingerprint("pack.stage.d")


def kept(package):
    """What is kept of the syntax of each file."""
    found = sorted(package.rglob("*.syntax.json"))
    assert {path.name.partition(".")[0] for path in found} >= {"a", "b"}
    return found


@pytest.fixture
def parsed(monkeypatch):
    """The sources that are parsed, in their order."""
    sources = []
    parse = provenance._parsed
    monkeypatch.setattr(provenance, "_parsed", lambda source: sources.append(source) or parse(source))
    return sources


def test_only_what_was_edited_is_parsed_again(package, parsed):
    before = provenance.fingerprint("pack.stage.a")
    assert len(parsed) == 4  # c stands beside the data that the package may read
    forget()
    assert provenance.fingerprint("pack.stage.a") == before and len(parsed) == 4
    edit(package, "stage/b.py", "y = 2", "y = 3")
    assert provenance.fingerprint("pack.stage.a") != before and len(parsed) == 5
    (package / "stage/b.py").write_text((package / "stage/b.py").read_text().replace("y = 3", "y = 2"))
    forget()
    assert provenance.fingerprint("pack.stage.a") == before


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"key": 1}', "another's", "changed"])
def test_a_damaged_or_foreign_note_of_a_files_syntax_is_made_anew(package, parsed, damage):
    before = provenance.fingerprint("pack.stage.a")
    good = {path: path.read_text() for path in kept(package)}
    texts = dict.fromkeys(good, damage)
    if damage == "another's":
        texts = dict(zip(good, reversed(good.values()), strict=True))
    elif damage == "changed":
        texts = {path: text.replace('"imports": [', '"imports": ["pack.stage.c"') for path, text in good.items()}
    for path, text in texts.items():
        path.write_text(text)
    forget()
    parsed.clear()
    assert provenance.fingerprint("pack.stage.a") == before and len(parsed) >= 2
    assert {path: path.read_text() for path in kept(package)} == good


def test_without_a_place_for_notes_the_fingerprint_is_the_same(package, monkeypatch):
    before = provenance.fingerprint("pack.stage.a")
    for path in kept(package):
        path.unlink()

    def refused(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(provenance.files, "write_text", refused)
    forget()
    assert provenance.fingerprint("pack.stage.a") == before
    assert not list(package.rglob("*.syntax.json"))
