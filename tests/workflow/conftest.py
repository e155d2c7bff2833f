"""A checkout of its own for each test of the workflow: the real rules on a very small study."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock
import pytest

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).parent / "tiny.yaml"
# Bytes from which a file is shared among copies of a checkout: weights and arrays, nine tenths of a study.
LARGE = 1_000_000


@dataclass(frozen=True)
class Checkout:
    """A folder with the workflow in it, as after `git clone`."""

    folder: Path

    def snakemake(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        """Run Snakemake here on the tiny study; never raises."""
        return subprocess.run(
            self.command(*words), cwd=self.folder, env=self.environment(**environment), capture_output=True, text=True
        )

    def start(self, *words: str, **environment: str) -> subprocess.Popen:
        """Start Snakemake here in a process group of its own, so that it can be killed with all its jobs."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @staticmethod
    def kill(process: subprocess.Popen) -> None:
        """SIGKILL to a whole process group, as a pulled plug would end it."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml", "--cores", "2", *words]

    def environment(self, **more: str) -> dict[str, str]:
        """The tests' own, with the environment's commands, and the checkout's code where it has some."""
        code = {"PYTHONPATH": str(self.folder / "src")} if (self.folder / "src").is_dir() else {}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "HF_HUB_OFFLINE": "1", "PATH": path, **code, **more}

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        """Run a command here; never raises."""
        return subprocess.run(
            words, cwd=self.folder, env=self.environment(**environment), capture_output=True, text=True
        )

    def artifacts(self) -> dict[str, bytes]:
        """Every result but logs and benchmarks, by its path."""
        results = self.folder / "results"
        return {
            str(path.relative_to(results)): path.read_bytes()
            for path in sorted(results.rglob("*"))
            if path.is_file() and not {"logs", "benchmarks"} & set(path.relative_to(results).parts)
        }


def make_checkout(folder: Path) -> Checkout:
    """Copy what the workflow needs into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder)
    for name in ("rules", "profiles", "studies"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(TINY, folder)
    return Checkout(folder)


def copy_checkout(source: Checkout, folder: Path) -> Checkout:
    """A copy to change. Large files are hard links, so that a copy takes a few megabytes and not half a gigabyte.

    That is safe as long as no test writes into a large file: jobs, Snakemake and DVC all replace files whole.
    """
    shutil.copytree(source.folder, folder, symlinks=True, copy_function=_copy_or_link)
    return Checkout(folder)


def _copy_or_link(source: str, target: str) -> None:
    if Path(source).stat().st_size < LARGE:
        shutil.copy2(source, target)
    else:
        os.link(source, target)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return make_checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the tiny study ran to its end; tests that change it take a copy.

    SYNVLP_TEST_FINISHED names a folder that keeps it for the next session of tests, for whoever works on the tests.
    """
    kept = os.environ.get("SYNVLP_TEST_FINISHED")

    def make(folder: Path) -> None:
        result = make_checkout(folder).snakemake()
        assert result.returncode == 0, result.stderr[-5000:]

    return once(Path(kept) if kept else shared(tmp_path_factory) / "finished/checkout", make)


def shared(factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a session of tests have in common."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def once(folder: Path, make: Callable[[Path], None]) -> Checkout:
    """A checkout that is made by whichever process of the tests comes first; the others wait for it."""
    with filelock.FileLock(folder.parent.with_suffix(".lock")):
        done = folder.with_suffix(".done")
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return Checkout(folder)


@pytest.fixture
def copied(finished: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the finished checkout, with its provenance."""
    return copy_checkout(finished, tmp_path / "copy")


@pytest.fixture(scope="session")
def versioned_once(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The finished checkout with code of its own, as a git repository whose artifacts DVC has recorded."""
    return once(shared(tmp_path_factory) / "versioned/checkout", lambda folder: make_versioned(finished, folder))


def make_versioned(finished: Checkout, folder: Path) -> None:
    """Record a copy of the finished checkout."""
    made = copy_checkout(finished, folder)
    for name in ("src", ".dvc", "studies"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("tmp", "cache"), dirs_exist_ok=True)
    for name in (".gitignore", ".gitattributes", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    for words in (
        ("git", "init", "--quiet", "--initial-branch", "main"),
        ("git", "config", "user.name", "tests"),
        ("git", "config", "user.email", "tests@localhost"),
        (sys.executable, "-m", "synvlp", "record", "tiny.yaml"),
        ("git", "add", "--all"),
        ("git", "commit", "--quiet", "--message", "first"),
    ):
        done = made.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def versioned(versioned_once: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the recorded checkout, to change."""
    return copy_checkout(versioned_once, tmp_path / "versioned")


@pytest.fixture(scope="module")
def bench(versioned_once: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the recorded checkout in which edits are made and taken back."""
    return copy_checkout(versioned_once, tmp_path_factory.mktemp("bench") / "checkout")
