"""The conda file and the images hold the pins and nothing else; `--sdm` sends every job into what it names."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from synvlp import doctor, environments

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "envs"
CONDA, DOCKER, APPTAINER = ENVS / "synvlp.yaml", ENVS / "Dockerfile", ENVS / "synvlp.def"
PYTHON = re.search(r"\d+\.\d+", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])[0]

PINS = ("envs/requirements.txt", "envs/requirements-dev.txt")
only_with_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def commands(path: Path) -> str:
    """A definition without its comments."""
    return "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))


def test_conda_gives_python_and_the_pins_give_the_rest():
    parts = yaml.safe_load(CONDA.read_text())
    assert parts["name"] == "synvlp"
    assert parts["dependencies"] == [f"python={PYTHON}", "pip", {"pip": ["-r requirements.txt"]}]
    assert (CONDA.parent / "requirements.txt").is_file()


@pytest.mark.parametrize("path", [DOCKER, APPTAINER], ids=lambda path: path.name)
def test_images_hold_the_pins_and_no_other_version(path):
    text = commands(path)
    assert re.search(r"^(FROM|From:) python:(.*)-slim$", text, flags=re.M)[2] == PYTHON
    assert text.count("pip install") == 1
    assert "--require-hashes --requirement /opt/requirements.txt" in text
    assert re.search(r"^(COPY |\s+envs/)requirements\.txt /opt/requirements\.txt$", text, flags=re.M)
    names = set(doctor.pinned(ROOT / doctor.PINS)) - {"pip"}
    assert not names & set(re.findall(r"[\w.-]+", text.lower())), "a package is named outside the pins"


def planned(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """What `make` says that it would run for the environment of the tests."""
    return subprocess.run(["make", "-n", ".venv/.test", *words], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def makefile(tmp_path) -> Path:
    """A folder with the Makefile, pins, and an environment that was made from them."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for number, name in enumerate((*PINS, "pyproject.toml", ".venv/.run", ".venv/.test")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 + number, 1000 + number))
    return tmp_path


@only_with_make
@pytest.mark.parametrize(
    ("changed", "anew", "installs"),
    [
        (None, False, 0),
        ("envs/requirements.txt", True, 3),
        ("pyproject.toml", False, 3),
        ("envs/requirements-dev.txt", False, 1),
    ],
)
def test_the_environment_is_made_anew_when_its_pins_have_changed(makefile, changed, anew, installs):
    if changed:
        (makefile / changed).touch()
    said = planned(makefile).stdout
    assert said.count("venv --clear .venv") == anew
    assert said.count("pip --disable-pip-version-check install") == installs


@only_with_make
def test_an_environment_that_was_not_finished_is_made_anew(makefile):
    (makefile / ".venv/.run").unlink()
    assert planned(makefile).stdout.count("venv --clear .venv") == 1


@only_with_make
def test_an_older_python_is_told_so_and_leaves_no_environment(makefile):
    shutil.rmtree(makefile / ".venv")
    old = makefile / "old"
    old.write_text(f"""#!/bin/sh
[ "$1" = -c ] || exit 9
exec {sys.executable} -c "import sys; sys.version_info = (3, 10, 13); exec(sys.argv[1])" "$2"
""")
    old.chmod(0o755)
    words = ["make", ".venv/.run", "PYTHON=./old"]
    done = subprocess.run(words, cwd=makefile, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"synvlp needs Python {PYTHON} or newer, and ./old is 3.10; name another one" in done.stderr
    assert not (makefile / ".venv").exists()


def test_both_images_make_the_same_command():
    made = [re.search(r"printf '(.*)' > /usr/local/bin/synvlp", path.read_text())[1] for path in (DOCKER, APPTAINER)]
    assert made[0] == made[1]


def test_the_command_of_the_images_runs_the_code_of_the_folder(tmp_path):
    script = re.search(r"printf '(.*)' >", DOCKER.read_text())[1].replace("\\n", "\n").replace("python", sys.executable)
    (tmp_path / "synvlp").write_text(script)
    (tmp_path / "src/synvlp").mkdir(parents=True)
    (tmp_path / "src/synvlp/__init__.py").touch()
    (tmp_path / "src/synvlp/__main__.py").write_text("import sys\nprint('here', sys.argv[1:])")
    done = subprocess.run(["sh", "synvlp", "check", "a b"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "here ['check', 'a b']\n", done.stderr


def test_python_runs_the_package_as_a_command():
    done = subprocess.run([sys.executable, "-m", "synvlp", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "usage: synvlp VERB" in done.stdout


def test_rules_that_run_a_command_get_an_environment(monkeypatch):
    class Rule:
        def __init__(self, shellcmd: str | None) -> None:
            self.shellcmd, self.conda_env, self.env_modules = shellcmd, None, None

    rules = [Rule("synvlp …"), Rule(None)]
    monkeypatch.setenv("SYNVLP_CONDA", "mine")
    monkeypatch.setenv("SYNVLP_MODULES", "Python/3.11 CUDA/13")
    environments.assign(rules)
    assert rules[0].conda_env == "mine" and rules[0].env_modules.names == ("Python/3.11", "CUDA/13")
    assert rules[1].conda_env is None and rules[1].env_modules is None
    monkeypatch.delenv("SYNVLP_MODULES")
    environments.assign(rules)
    assert rules[0].env_modules is None


# Stand-ins that note how they are called and then do what the real ones would do with the job's command.
STAND_INS = {
    "apptainer": """#!/bin/bash
if [ "$1" = --version ]; then echo apptainer version 1.3.0; exit; fi
echo "$@" >> calls
exec bash -c "${@: -1}"
""",
    "conda": """#!/bin/bash
case "$*" in
"info --json") echo "{\\"conda_prefix\\": \\"$PWD/conda\\", \\"platform\\": \\"linux-64\\"}" ;;
"--version") echo conda 25.1.0 ;;
"config --get channel_priority --json") echo '{"get": {"channel_priority": "strict"}}' ;;
"env export --name "*) echo "name: here" ;;
esac
""",
}
MODULE = '() { echo "$@" >> calls; }'


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("method", "called"),
    [
        ("apptainer", "exec --home .* images/mine.sif bash -c .*synvlp draw-phantoms"),
        ("conda", "activate mine"),
        ("env-modules", "load Python/3.11 CUDA/13"),
    ],
)
def test_jobs_run_where_sdm_says(checkout, method, called):
    programs = checkout.folder / "programs"
    programs.mkdir()
    for name, text in STAND_INS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    activate = checkout.folder / "conda/bin/activate"
    activate.parent.mkdir(parents=True)
    activate.write_text('echo activate "$1" >> calls\n')
    names = {"SYNVLP_IMAGE": "images/mine.sif", "SYNVLP_CONDA": "mine", "SYNVLP_MODULES": "Python/3.11 CUDA/13"}
    (checkout.folder / "images").mkdir()
    (checkout.folder / "images/mine.sif").touch()
    path = f"{programs}:{checkout.environment()['PATH']}"
    done = checkout.snakemake("corpora", "--sdm", method, **names, **{"PATH": path, "BASH_FUNC_module%%": MODULE})
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(called, (checkout.folder / "calls").read_text()), (checkout.folder / "calls").read_text()
    assert (checkout.folder / "results/tiny/corpora/phantom/studies.parquet").is_file()
