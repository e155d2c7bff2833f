"""What is refused before any job, or before anything is recorded: settings of DVC, and a machine without git."""

import os
from pathlib import Path

import pytest

from synvlp import cli
from synvlp.versions import record

ROOT = Path(__file__).parents[2]
LEVELS = ("system", "global", "config", "config.local")


@pytest.fixture
def levels(tmp_path, monkeypatch) -> dict[str, Path]:
    """DVC's config files, none of which is there, of a repository in the current folder."""
    folders = {"system": "DVC_SYSTEM_CONFIG_DIR", "global": "DVC_GLOBAL_CONFIG_DIR"}
    for name, variable in folders.items():
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    (tmp_path / "here/.dvc").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    return {name: tmp_path / name / "config" if name in folders else Path(".dvc", name) for name in LEVELS}


def links(path: Path, kind: str) -> None:
    path.write_text(f"[core]\n    autostage = true\n['remote \"a\"']\n    url = a%20b\n[cache]\n    type = {kind}\n")


@pytest.mark.parametrize("level", LEVELS)
def test_hardlinks_are_refused_wherever_dvc_is_told_of_them(levels, level):
    record.check()
    links(levels[level], '"reflink,hardlink"')
    with pytest.raises(record.Refused) as refused:
        record.check()
    assert f"cache.type in {levels[level]} is hardlink" in str(refused.value)
    links(levels[level], "reflink,symlink")
    record.check()


def test_a_repositorys_own_setting_goes_before_the_users(levels):
    links(levels["global"], "hardlink")
    links(levels["config"], "copy")
    record.check()
    links(levels["config.local"], "hardlink")
    with pytest.raises(record.Refused, match=r"config\.local is hardlink"):
        record.check()


def test_a_users_setting_is_nothing_to_a_folder_without_versions(levels):
    links(levels["global"], "hardlink")
    Path(".dvc").rmdir()
    record.check()


def test_a_broken_config_of_dvc_is_named(levels):
    levels["global"].write_text("type = copy\n")
    with pytest.raises(record.Refused, match=r"global/config is no config of DVC"):
        record.check()


@pytest.mark.parametrize("told", [{}, {"XDG_CONFIG_HOME": "/a", "XDG_CONFIG_DIRS": "/b:/c"}])
def test_the_configs_are_those_that_dvc_reads(tmp_path, monkeypatch, told):
    from dvc.config import Config

    for name in ("DVC_SYSTEM_CONFIG_DIR", "DVC_GLOBAL_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".dvc").mkdir()
    assert list(map(str, record.configs(tmp_path))) == list(Config(str(tmp_path / ".dvc")).files.values())


def test_without_the_git_program_one_line_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "config.yaml").symlink_to(ROOT / "config.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.devnull)
    assert cli.main(["record"]) == 0
    assert capsys.readouterr().out == "versions: git is not installed, so nothing is versioned\n"
