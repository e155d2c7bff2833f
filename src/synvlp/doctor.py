"""Check a machine before a run: what the study needs, what is there, and how to get what is missing.

One function per check; each returns rows. Nothing is changed and nothing is fetched; torch is asked in a process of
its own, so that a broken GPU stack is a row and no crash.
"""

import fcntl
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil
from packaging.markers import Marker
from packaging.version import Version

from synvlp import dag, plan, provenance
from synvlp.job import size_of
from synvlp.models.pipeline import WEIGHTS
from synvlp.store import files
from synvlp.study import NEW_KEY, Study, StudyError

PINS = Path("envs/requirements.txt")
SLURM = Path("profiles/slurm/profile.v9+.yaml")
PYTHON = (3, 11)
MINIMUM_GB = 10  # results and checkpoints of a small study; `synvlp plan` estimates a study's own
HASHED_MB = 100  # larger files are hashed when asked to
PATIENCE = 5  # seconds in which a server must answer
FICLONE = 0x40049409  # Linux's request for a reflink (ioctl_ficlone(2))

# Setting -> the files that its folder must hold; "a|b": one of them.
FOLDERS = {
    "text_folder": ("config.json", "model.safetensors"),
    "detector_folder": ("config.json", "model.safetensors|model.safetensors.index.json", "tokenizer.json|vocab.txt"),
    "classifier_folder": ("config.json", "model.safetensors|model.safetensors.index.json", "tokenizer.json|vocab.txt"),
    "model_folder": ("config.json", "model.safetensors|model.safetensors.index.json", "tokenizer.json|tokenizer.model"),
    "rad_dino_folder": ("config.json", "model.safetensors"),
    "tokenizer_folder": ("tokenizer.json|vocab.txt",),
    "pipeline_folder": (
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json|tokenizer/vocab.json",
        *(f"{part}/config.json" for part in WEIGHTS),
        *(
            f"{part}/{base}{{0}}.safetensors|{part}/{base}.safetensors.index{{0}}.json"
            for part, base in WEIGHTS.items()
        ),
    ),
}

PROBE = """
import json, torch
from torch import cuda
names = [cuda.get_device_name(index) for index in range(cuda.device_count())] if cuda.is_available() else []
print(json.dumps({"build": torch.version.cuda, "names": names}))
"""


@dataclass(frozen=True)
class Row:
    """One thing that was looked at: what was found, what is needed, and how to get it if it is missing."""

    what: str
    found: str
    needed: str
    verdict: Literal["ok", "warning", "missing"]
    remedy: str = ""


def examine(study: Study, *, slurm: bool = False, checksums: bool = False) -> list[Row]:
    """Every check, for a study.

    Args:
        study: whose data, weights and sizes are looked for.
        slurm: the run is to be submitted to SLURM, so that it must answer here.
        checksums: hash large files as well, and compare a collection with its SHA256SUMS.
    """
    return [
        *python(),
        *code(),
        *packages(),
        *commands(),
        *gpu(study),
        *processor(study, slurm),
        *space(study),
        *links(study),
        *data(study, checksums),
        *weights(study, checksums),
        *network(study),
        *cluster(slurm),
    ]


def report(rows: list[Row]) -> str:
    """The rows as a table of plain text, and below it how to get what is not as it should be."""
    cells = [("what", "found", "needed", "verdict"), *((row.what, row.found, row.needed, row.verdict) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, line[:3], widths), line[3]]) for line in cells]
    remedies = [f"- {row.what}: {row.remedy}" for row in rows if row.verdict != "ok" and row.remedy]
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("missing", "warning")}
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "nothing is missing"
    return "\n".join([*lines, "", *remedies, *([""] if remedies else []), summary])


def python() -> list[Row]:
    """The version of Python."""
    good = sys.version_info >= PYTHON
    needed = ".".join(map(str, PYTHON))
    remedy = f"make the environment with Python {needed} or newer (docs/cluster.md, Environments)"
    return [Row("Python", platform.python_version(), f"{needed} or newer", "ok" if good else "missing", remedy)]


def code() -> list[Row]:
    """Whether jobs run the code of this folder, which is what their fingerprints stand for."""
    here = Path("src/synvlp").resolve()
    if not here.is_dir() or here == provenance.PACKAGE.resolve():
        return [Row("synvlp", str(provenance.PACKAGE), "the code of this folder", "ok")]
    return [
        Row(
            "synvlp",
            f"installed from {provenance.PACKAGE.parent}",
            "the code of this folder",
            "warning",
            "pip install --no-deps --no-build-isolation --editable . (else jobs run other code than is here)",
        )
    ]


def packages(pins: Path = PINS) -> list[Row]:
    """Installed packages against the pins: one row for all, and one for each that differs."""
    if not pins.is_file():
        return [Row("packages", f"no {pins} here", "the pins", "warning", "run synvlp doctor in the repository")]
    wanted = pinned(pins)
    rows = []
    for name, version in wanted.items():
        found = _installed(name)
        if found is None or Version(found).public != version:
            rows.append(
                Row(
                    name,
                    found or "not installed",
                    version,
                    "warning" if found else "missing",
                    f"pip install --require-hashes --requirement {pins} (or `make demo`, which makes .venv from it)",
                )
            )
    worst = "missing" if any(row.verdict == "missing" for row in rows) else "warning"
    found = f"{len(wanted) - len(rows)} as pinned"
    return [Row("packages", found, f"{len(wanted)} of {pins}", worst if rows else "ok"), *rows]


def pinned(pins: Path) -> dict[str, str]:
    """Package -> version, of those pins whose marker holds on this machine."""
    found = re.findall(
        r"^([\w.-]+)==([^\s;\\]+)(?: ; ([^\\\n]+?))? ?\\?$", pins.read_text(encoding="utf-8"), flags=re.M
    )
    return {name: version for name, version, marker in found if not marker or Marker(marker).evaluate()}


def commands() -> list[Row]:
    """Programs beside Python: the jobs' command, and what keeps versions."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    wanted = {
        "synvlp": ("every job", "missing", "pip install --no-deps --no-build-isolation --editable ."),
        "snakemake": ("the run", "missing", f"pip install --require-hashes --requirement {PINS}"),
        "git": ("versions", "warning", "install git; runs work without it, versions do not"),
        "dvc": ("versions", "warning", f"pip install --require-hashes --requirement {PINS}"),
    }
    rows = []
    for name, (needed, verdict, remedy) in wanted.items():
        found = shutil.which(name, path=beside)
        rows.append(Row(f"command {name}", found or "not on the PATH", needed, "ok" if found else verdict, remedy))
    return rows


def gpu(study: Study) -> list[Row]:
    """GPUs, their driver, and whether torch can use them."""
    asked = any(key.endswith(".device") and value == "cuda" for key, value in _settings(study))
    needed = "one per GPU job: device is cuda" if asked else "none, but networks train slowly without"
    listed = _lines("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    driver = f"driver {listed[0]}" if listed else "no driver"
    torch = _json(sys.executable, "-c", PROBE)
    if torch is None:
        remedy = f"pip install --require-hashes --requirement {PINS}"
        return [Row("GPU", f"torch does not start; {driver}", needed, "missing", remedy)]
    names, build = torch["names"], torch["build"]
    built = f"torch for CUDA {build}" if build else "torch without CUDA"
    if names:
        kinds = ", ".join(f"{names.count(name)} × {name}" for name in sorted(set(names)))
        return [Row("GPU", f"{kinds}, {driver}, {built}", needed, "ok")]
    remedy = "on a cluster's login node this is as it should be: run synvlp doctor in a GPU job (srun --gpus=1)"
    if listed:
        remedy = f"the driver is there, but {built} cannot use it: it may be too old for that CUDA"
    return [Row("GPU", f"none for torch, {driver}, {built}", needed, "missing" if asked else "warning", remedy)]


def processor(study: Study, slurm: bool = False) -> list[Row]:
    """Cores and memory, against the largest job of the study: of this machine, or of SLURM's largest nodes."""
    threads = max((value for key, value in _settings(study) if key.endswith(".cpu_threads")), default=1)
    cores = len(os.sched_getaffinity(0))
    memory = _largest_node() if slurm else psutil.virtual_memory().total / 1e6
    needed, rule = largest_job(study, SLURM if slurm else None)
    remedy = (
        "ask for less in profiles/slurm, or for other nodes" if slurm else "run jobs of this size on another machine"
    )
    if not memory:
        remedy = "run on the cluster's login node"
    return [
        Row(
            "CPU cores",
            str(cores),
            f"{threads} per job",
            "ok" if cores >= threads or slurm else "warning",
            "lower cpu_threads, or use a larger machine",
        ),
        Row(
            "memory of a node" if slurm else "memory",
            f"{memory / 1000:.0f} GB" if memory else "SLURM does not tell",
            f"{needed / 1000:.0f} GB for {rule}" if rule else "not known: the study's jobs cannot be listed here",
            "ok" if rule and memory >= needed else "warning",
            remedy if rule else "run synvlp doctor in the repository; synvlp plan says what is wrong with the study",
        ),
    ]


def largest_job(study: Study, profile: Path | None = None) -> tuple[int, str]:
    """The most memory (MB) that a job of the study first asks for, and its rule; (0, "") if they cannot be listed.

    Args:
        study: whose jobs.
        profile: whose figures hold instead of the rules', where it has some.
    """
    try:
        jobs = plan.jobs(study)
    except (dag.DagError, StudyError, OSError):
        return 0, ""
    asked = profile_memory(profile) if profile else {}
    return max(((asked.get(job.rule, int(job.resources["mem_mb"])), job.rule) for job in jobs), default=(0, ""))


def profile_memory(profile: Path) -> dict[str, int]:
    """Rule -> MB that a workflow profile asks for at the first attempt; nothing where there is no profile."""
    from yte import process_yaml

    if not profile.is_file():
        return {}
    rules = process_yaml(profile.read_text(encoding="utf-8"), require_use_yte=True).get("set-resources", {})
    # Each is an expression of attempts.expression: its limit is this machine's, or the cluster's.
    numbers = {rule: re.findall(r"\d+", str(asked.get("mem_mb", ""))) for rule, asked in rules.items()}
    return {rule: min(int(found[0]), int(found[-1])) for rule, found in numbers.items() if found}


def _largest_node() -> float:
    """The memory of SLURM's largest nodes, in MB; 0 where it does not tell."""
    found = [re.match(r"\d+", line) for line in _lines("sinfo", "--noheader", "--format=%m")]
    return max((float(number[0]) for number in found if number), default=0.0)


def space(study: Study) -> list[Row]:
    """Free space where results and checkpoints go, and whether it can be written to."""
    rows = []
    scratch = Path(os.environ.get("SYNVLP_SCRATCH", "scratch"))
    for what, folder in (("results", Path("results") / study.name), ("scratch", scratch)):
        there = _existing(folder)
        usage = shutil.disk_usage(there)
        found = f"{usage.free / 1e9:.0f} GB free of {usage.total / 1e9:.0f} GB, {_file_system(there)}"
        verdict, remedy = "ok", ""
        if not os.access(there, os.W_OK):
            verdict, remedy = "missing", f"{there} cannot be written to"
        elif usage.free < MINIMUM_GB * 1e9:
            verdict, remedy = "warning", f"make room in {there}; `synvlp plan` estimates what the study needs"
        rows.append(Row(f"space for {what}", found, f"{MINIMUM_GB} GB or more", verdict, remedy))
    return rows


def links(study: Study) -> list[Row]:
    """Which kinds of links the file system of the results can make: with them a version costs no copy."""
    there = _existing(Path("results") / study.name)
    needed = "reflink or symlink"
    if not os.access(there, os.W_OK):
        return [Row("links", "not tried", needed, "warning", f"{there} cannot be written to")]
    with tempfile.TemporaryDirectory(dir=there, prefix=".synvlp-") as folder:
        made = [name for name, make in LINKS.items() if make(Path(folder))]
    good = bool({"reflink", "symlink"} & set(made))
    return [
        Row(
            "links",
            ", ".join(made) or "none",
            needed,
            "ok" if good else "warning",
            "versions are copies here and take their space twice",
        )
    ]


def data(study: Study, checksums: bool = False) -> list[Row]:
    """The files of the study's corpora, and the key of the anonymization."""
    rows = []
    for name in study.corpora():
        part = study.parts.corpora[name]
        for key in ("path", "index"):
            value = getattr(part, key, None)
            if value:
                remedy = study.origin("corpora", name, key) or "docs/data.md says what it holds and where it comes from"
                rows.append(_file(f"corpora.{name}.{key}", Path(value), remedy, checksums))
                rows.extend(_sums(name, Path(value).parent) if checksums and key == "path" else [])
    remedy = f"make one and keep it secret: {NEW_KEY}"
    key = Path(study.parts.reports.key_file)
    found = f"{key}, {size_of(key)}" if key.is_file() else f"no file {key}"  # of a secret not even a digest is shown
    return [*rows, Row("reports.key_file", found, "there", "ok" if key.is_file() else "missing", remedy)]


def weights(study: Study, checksums: bool = False) -> list[Row]:
    """Published weights that the config names: folders with all their files, and single files."""
    rows = []
    settings = dict(_settings(study))
    for key, value in settings.items():
        if not isinstance(value, str):
            continue
        parent, _, name = key.rpartition(".")
        if name in FOLDERS:
            variant = settings.get(f"{parent}.variant")
            rows.extend(
                _folder(
                    key,
                    Path(value),
                    [item.format(f".{variant}" if variant else "") for item in FOLDERS[name]],
                    checksums,
                )
            )
        elif name.endswith("_weights"):
            remedy = (
                "on a machine with network: python -c 'import torchvision, safetensors.torch as s; "
                's.save_file(torchvision.models.resnet50(weights="IMAGENET1K_V2").state_dict(), "FILE")\''
            )
            rows.append(_file(key, Path(value), remedy, checksums))
    return rows


def network(study: Study) -> list[Row]:
    """What the study needs a network for: servers that write its reports, which must answer here, and nothing else."""
    writers = {name: study.parts.concepts.written[name].writer for name in study.written()}
    servers = {name: writer.url for name, writer in writers.items() if writer.kind == "server"}
    if not servers:
        return [Row("network", "no server is named", "none: jobs open files and folders of this machine", "ok")]
    return [_server(f"concepts.written.{name}.writer.url", url) for name, url in servers.items()]


def _server(what: str, url: str) -> Row:
    parts = urllib.parse.urlsplit(url)
    remedy = "start it, or name another; the nodes on which write_reports runs must reach it as well"
    try:
        place = parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
        socket.create_connection(place, timeout=PATIENCE).close()
    except (OSError, ValueError) as error:
        return Row(what, f"{parts.netloc or url} does not answer: {error}", "a server that answers", "missing", remedy)
    return Row(what, f"{parts.netloc} answers", "a server that answers", "ok")


def cluster(wanted: bool = False) -> list[Row]:
    """Whether a SLURM answers here, and its partitions."""
    needed = "for profiles/slurm" if wanted else "only for profiles/slurm"
    if not shutil.which("sinfo"):
        verdict = "missing" if wanted else "ok"
        return [Row("SLURM", "no sinfo on the PATH", needed, verdict, "run on the cluster's login node")]
    partitions = _lines("sinfo", "--noheader", "--format=%P %a %D nodes, %c cores, %m MB, %l, %G")
    if not partitions:
        remedy = "sinfo does not answer: the controller is down or not reachable from here (scontrol ping)"
        return [Row("SLURM", "does not answer", needed, "missing" if wanted else "warning", remedy)]
    queue = _lines("squeue", "--noheader", "--format=%i")
    rows = [Row("SLURM", f"answers, {len(queue or [])} jobs queued or running", needed, "ok")]
    return rows + [Row("partition", line, "named in profiles/slurm", "ok") for line in partitions]


def _file(what: str, path: Path, remedy: str, checksums: bool) -> Row:
    if not path.is_file():
        return Row(what, f"no file {path}", "there", "missing", remedy)
    return Row(what, _described(path, checksums), "there", "ok")


def _folder(what: str, folder: Path, wanted: list[str], checksums: bool) -> list[Row]:
    """One row for each weights file of a folder, or one that says what the folder lacks."""
    if not folder.is_dir():
        remedy = "a folder is needed: copy it here, and name it"
        if re.fullmatch(r"[\w.-]+/[\w.-]+", str(folder)):
            remedy += (
                f"; if {folder} is a hub's name: hf download {folder} --local-dir FOLDER, where there is a network"
            )
        return [Row(what, f"no folder {folder}", "there", "missing", remedy)]
    found = [[folder / name for name in item.split("|") if (folder / name).is_file()] for item in wanted]
    lacking = [item.replace("|", " or ") for item, paths in zip(wanted, found, strict=True) if not paths]
    if lacking:
        remedy = "copy the whole folder; pickled weights (.bin, .ckpt, .pt) are never read: convert them to safetensors"
        return [Row(what, f"{folder} without {', '.join(lacking)}", "all its files", "missing", remedy)]
    large = [path for paths in found for path in paths if path.suffix == ".safetensors"]
    rows = [Row(what, _described(path, checksums), "there", "ok") for path in large]
    return rows or [Row(what, str(folder), "there", "ok")]


def _sums(name: str, folder: Path) -> list[Row]:
    """A collection against its SHA256SUMS, if it has one."""
    listing = folder / "SHA256SUMS"
    if not listing.is_file():
        return []
    lines = [line.split(maxsplit=1) for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
    pairs = [(digest, folder / path.lstrip("*")) for digest, path in lines]
    wrong = [path for digest, path in pairs if not path.is_file() or files.checksum(path) != digest]
    found = f"{len(pairs) - len(wrong)} of {len(pairs)} files agree"
    remedy = "copy the collection again; the first that differs: " + str(wrong[0] if wrong else "")
    return [Row(f"corpora.{name}, {listing.name}", found, "all", "missing" if wrong else "ok", remedy)]


def _described(path: Path, checksums: bool) -> str:
    small = path.stat().st_size <= HASHED_MB * 1e6
    digest = f"sha256 {files.checksum(path)[:16]}…" if small or checksums else "not hashed (--checksums)"
    return f"{path}, {size_of(path)}, {digest}"


def _settings(study: Study) -> Iterator[tuple[str, Any]]:
    """Every setting of the parts that the study uses, by its dotted key."""
    plain = study.parts.model_dump()
    generators = {item["generator"] for item in study.image_sets()}
    plain["corpora"] = {name: part for name, part in plain["corpora"].items() if name in study.corpora()}
    plain["generators"] = {name: part for name, part in plain["generators"].items() if name in generators}
    return _flat(plain)


def _flat(value: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _file_system(folder: Path) -> str:
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    places = [str(path) for path in (folder.resolve(), *folder.resolve().parents)]
    return next((mounts[place] for place in places if place in mounts), "unknown file system")


def _reflink(folder: Path) -> bool:
    with (folder / "source").open("wb") as source:
        source.write(bytes(4096))
    with (folder / "source").open("rb") as source, (folder / "reflink").open("wb") as clone:
        try:
            fcntl.ioctl(clone, FICLONE, source.fileno())
        except OSError:
            return False
    return True


def _linked(make: Any, folder: Path, name: str) -> bool:
    try:
        make(folder / "target", folder / name)
    except OSError:
        return False
    return True


def _hardlink(folder: Path) -> bool:
    (folder / "target").touch()
    return _linked(os.link, folder, "hardlink")


def _symlink(folder: Path) -> bool:
    return _linked(os.symlink, folder, "symlink")


LINKS = {"reflink": _reflink, "hardlink": _hardlink, "symlink": _symlink}


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _run(*command: str) -> str | None:
    """What a command prints; None if it is not there, fails, or does not answer within a minute."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _lines(*command: str) -> list[str]:
    return [line.strip() for line in (_run(*command) or "").splitlines() if line.strip()]


def _json(*command: str) -> dict | None:
    try:
        return json.loads(_run(*command) or "")
    except ValueError:
        return None
