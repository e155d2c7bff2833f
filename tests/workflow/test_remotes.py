"""Remotes and link types: a real S3 server, an ordinary user with symbolic links, full disks, a read-only folder."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.workflow
LOCK = "studies/tiny/dvc.lock"
KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def s3():
    """The address of an S3 server on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < end, "the S3 server does not answer"
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


def dvc(checkout, *words: str) -> str:
    done = checkout.run(sys.executable, "-m", "dvc", *words, **KEYS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def hashes(checkout, stage: str) -> dict[str, str]:
    """Path -> MD5 of a stage's outputs, as recorded."""
    lock = yaml.safe_load((checkout.folder / LOCK).read_text())
    return {out["path"]: out["md5"] for out in lock["stages"][stage]["outs"]}


def test_artifacts_go_to_s3_and_come_back_without_what_is_private(versioned, s3, tmp_path):
    import boto3

    client = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="tests", aws_secret_access_key="tests", region_name="us-east-1"
    )
    client.create_bucket(Bucket="study")
    dvc(versioned, "remote", "add", "--quiet", "--default", "cloud", "s3://study/artifacts")
    dvc(versioned, "remote", "modify", "cloud", "endpointurl", s3)
    stages = [f"studies/tiny/dvc.yaml:{name}" for name in ("draw_phantoms-phantom", "tabulate-classification")]
    dvc(versioned, "push", "--quiet", *stages)
    held = {item["Key"] for item in client.list_objects_v2(Bucket="study")["Contents"]}
    held = {"".join(key.split("/")[-2:]) for key in held}
    drawn = hashes(versioned, "draw_phantoms-phantom")
    private = {md5 for path, md5 in drawn.items() if Path(path).name in {"reports.parquet", "identifiers.parquet"}}
    assert len(private) == 2 and not private & held
    assert set(drawn.values()) - private <= held

    done = versioned.run("git", "commit", "--all", "--quiet", "--message", "a remote")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(versioned.folder / "results/tiny/tables")
    shutil.rmtree(versioned.folder / ".dvc/cache")
    dvc(versioned, "pull", "--quiet", stages[1])
    assert (versioned.folder / "results/tiny/tables/classification.csv").is_file()


USER = 65534
# An ordinary user, who may read what the tests' environment holds wherever that lies, and write only what is his.
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
AS_USER += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
only_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root, with setpriv, can run a test as another user"
)


@pytest.fixture
def users(versioned_once):
    """A copy of the recorded checkout that belongs to an ordinary user, and a way to run commands there as he would."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        os.chown(name, USER, USER)
        folder = Path(name) / "checkout"
        # A real copy, since the owner of its files changes.
        shutil.copytree(versioned_once.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("scratch"))
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, USER, USER, follow_symlinks=False)
        home = {"HOME": name, "XDG_CACHE_HOME": f"{name}/cache", "DVC_SITE_CACHE_DIR": f"{name}/site"}
        checkout = type(versioned_once)(folder)

        def run(*words: str) -> subprocess.CompletedProcess:
            return checkout.run(*AS_USER, *words, **home)

        yield checkout, run


@only_root
@pytest.mark.parametrize("links", ["symlink", "copy"])
def test_an_ordinary_user_runs_again_what_dvc_has_linked(users, links):
    checkout, run = users
    done = run(sys.executable, "-m", "dvc", "config", "cache.type", links)
    assert done.returncode == 0, done.stderr
    config = checkout.folder / "tiny.yaml"
    text = config.read_text()
    for dpi in (90, 80):
        config.write_text(f"{text}  draw_figure: {{dpi: {dpi}}}\n")
        done = run(*checkout.command())
        assert done.returncode == 0, done.stderr[-3000:]
        assert "stages recorded" in done.stderr
        picture = checkout.folder / "results/tiny/tables/classification.png"
        assert picture.is_symlink() == (links == "symlink")
    assert "Nothing to be done" in run(*checkout.command(), "-n").stdout


ENCODERS = "results/tiny/encoders"
LOGS = "results/tiny/logs"


@pytest.mark.parametrize(
    ("target", "log"),
    [
        (f"{ENCODERS}/random/none/seed-0/image_encoder.safetensors", f"{LOGS}/init_encoder/random/seed-0.log"),
        (f"{ENCODERS}/pairs/real/pixels.npy", f"{LOGS}/build_pairs/real.log"),
    ],
    ids=["weights", "pixels"],
)
def test_a_full_disk_says_so_and_leaves_nothing_half_written(versioned, small_disk, target, log):
    """The job's results lie on a disk with a tenth of a megabyte left."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(900_000))
    folder = (versioned.folder / target).parent
    shutil.rmtree(folder)
    folder.symlink_to(small_disk)
    done = versioned.snakemake(target)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr + done.stdout
    assert "Traceback" not in (versioned.folder / log).read_text()
    assert list(small_disk.iterdir()) == [ballast]
    folder.unlink()
    done = versioned.snakemake(target)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_full_scratch_says_so_and_the_next_start_trains_to_the_end(versioned, small_disk):
    """The states of a training lie on a disk that is smaller than one of them."""
    target = f"{ENCODERS}/convirt/real/seed-0/image_encoder.safetensors"
    shutil.rmtree((versioned.folder / target).parent)
    done = versioned.snakemake(target, SYNVLP_SCRATCH=str(small_disk), SYNVLP_CHECKPOINT_SECONDS="0")
    assert done.returncode != 0
    assert "No space left on device" in done.stderr + done.stdout
    assert "Traceback" not in (versioned.folder / LOGS / "pretrain/convirt/real/seed-0.log").read_text()
    assert not [path for path in small_disk.rglob("*") if path.is_file()]
    done = versioned.snakemake(target)
    assert done.returncode == 0, done.stderr[-2000:]


@only_root
def test_a_read_only_folder_of_results_says_so_and_loses_nothing(users):
    checkout, run = users
    tables = checkout.folder / "results/tiny/tables"
    before = {path.name: path.read_bytes() for path in tables.iterdir()}
    tables.chmod(0o555)
    config = checkout.folder / "tiny.yaml"
    config.write_text(config.read_text() + "  draw_figure: {dpi: 90}\n")
    done = run(*checkout.command())
    assert done.returncode != 0
    assert "Permission denied" in done.stderr + done.stdout
    assert {path.name: path.read_bytes() for path in tables.iterdir()} == before
