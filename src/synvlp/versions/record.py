"""Record what a run has finished: dvc.yaml as the DAG is now, and dvc.lock and DVC's cache for what is up to date.

Only stages that Snakemake certifies are recorded, so that dvc.lock never holds an artifact that is stale.
"""

import configparser
import contextlib
import functools
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synvlp import dag, provenance
from synvlp.store import files
from synvlp.study import Study
from synvlp.versions import stages

HARDLINKS = (
    "cache.type in {place} is hardlink: DVC would make every artifact read-only and share it with its cache, and "
    "Snakemake could not replace it; set it to reflink, symlink or copy (docs/versions.md)"
)
# Snakemake notes when an output was last changed; file systems round it.
_SECONDS = 2.0


class Refused(Exception):
    """Nothing can be recorded; the message says why and what would help."""


def check(folder: Path = Path()) -> None:
    """Refuse settings of DVC with which a run would fail in its middle. Raises Refused."""
    if not (folder / ".dvc").is_dir():
        return
    links, place = "", None
    for path in configs(folder):
        config = configparser.ConfigParser(interpolation=None)
        try:
            config.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise Refused(f"{path} is no config of DVC: {error}") from error
        if config.has_option("cache", "type"):
            links, place = config.get("cache", "type"), path
    if "hardlink" in links:
        raise Refused(HARDLINKS.format(place=place))


def configs(folder: Path) -> list[Path]:
    """DVC's config files, each of which goes before those above it: the system's, the user's, the folder's two.

    As `dvc.config` finds them, whose import would make each start of Snakemake longer by 0.15 s.
    """
    import platformdirs  # as DVC does

    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR") or platformdirs.site_config_dir("dvc", "iterative")
    user = os.environ.get("DVC_GLOBAL_CONFIG_DIR") or platformdirs.user_config_dir("dvc", "iterative")
    return [Path(system, "config"), Path(user, "config"), folder / ".dvc/config", folder / ".dvc/config.local"]


def remember_code(study: Study) -> None:
    """Add to results/STUDY/code.json which functions the code of each job is made of now; `synvlp why` reads it."""
    path = code_file(study)
    known = files.read_json(path) if path.is_file() else {"fingerprints": {}, "modules": {}}
    new = {
        fingerprint: provenance.closure(*modules)
        for modules, fingerprint in study.fingerprints().items()
        if fingerprint not in known["fingerprints"]
    }
    if not new:
        return
    outlines = {module: provenance.outline(module) for modules in new.values() for module in modules}
    digests = {module: provenance.digest([json.dumps(made)]) for module, made in outlines.items()}
    known["modules"] |= {digests[module]: made for module, made in outlines.items()}
    known["fingerprints"] |= {key: {name: digests[name] for name in sorted(names)} for key, names in new.items()}
    files.write_json(path, known)


def code_file(study: Study) -> Path:
    """Where the functions of each fingerprint are kept."""
    return Path("results", study.name, "code.json")


def record(study: Study, overlays: Sequence[str]) -> Iterator[str]:
    """Bring dvc.yaml, dvc.lock and DVC's cache up to date with what is finished; yields lines for the user.

    Raises:
        Refused: this folder has no versions, or DVC is set up in a way that cannot work.
        dag.DagError: Snakemake cannot build the DAG.
    """
    from dvc.exceptions import DvcException

    _require_versions()
    check()
    remember_code(study)
    made = stages.stages(dag.jobs(overlays, reasons=True), study, overlays)
    place = stages.place(study)
    if write(place, stages.text(made, overlays)):
        yield f"{place} is written anew"
    finished = {stage.name: stage for stage in made if stage.finished()}
    try:
        recorded, changed = _commit(place, finished)
    except DvcException as error:
        raise Refused(f"DVC cannot record: {error}{f' ({error.__cause__})' if error.__cause__ else ''}") from error
    open_ones = [stage.name for stage in made if stage.name not in finished]
    shown = f": {', '.join(open_ones[:5])}{', …' if len(open_ones) > 5 else ''}" if open_ones else ""
    yield (
        f"{len(recorded)} of {len(made)} stages recorded in {place.with_suffix('.lock')}, "
        f"{len(finished) - len(recorded) - len(changed)} as they were, {len(open_ones)} not finished{shown}"
    )
    for name, path in changed:
        yield f"not recorded: {path} of stage {name} was changed after its job had made it"


def write(path: Path, text: str) -> bool:
    """Write a text file if it differs; says whether it did."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    files.write_text(path, text)
    return True


def _require_versions() -> None:
    if not shutil.which("git"):
        raise Refused("git is not installed, so nothing is versioned")
    git = subprocess.run(["git", "rev-parse", "--is-inside-work-tree"], capture_output=True, check=False)
    if git.returncode:
        raise Refused("this folder is no git repository, so nothing is versioned")
    if not Path(".dvc").is_dir():
        raise Refused("this folder has no .dvc (`dvc init` makes it), so nothing is versioned")


def _commit(place: Path, finished: dict[str, stages.Stage]) -> tuple[list[str], list[tuple[str, str]]]:
    """Record the finished stages that differ from dvc.lock.

    Returns:
        The names of those recorded, and stage and path of what was changed by another hand.
    """
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)
    recorded, foreign = [], []
    with Repo() as repo, repo.lock, _configs_read_once():
        relink = "symlink" in (repo.config["cache"].get("type") or ())
        for item in repo.stage.load_all(str(place)):
            if item.name not in finished:
                continue
            dependencies, outputs, itself = item.changed_entries()
            if not (dependencies or outputs or itself):
                continue
            strange = _changed_by_hand(finished[item.name]) if outputs and not (dependencies or itself) else None
            if strange and all(out.hash_info for out in item.outs):
                foreign.append((item.name, strange))
                continue
            item.save(run_cache=False)
            item.commit(relink=relink)
            recorded.append(item)
        if recorded:
            recorded[0].dvcfile.dump_stages(recorded, update_pipeline=False)
    return [item.name for item in recorded], foreign


@contextlib.contextmanager
def _configs_read_once() -> Iterator[None]:
    """Let DVC parse each config file once, and not once for each stage: of 500 stages that took a minute."""
    from dvc.dependency import param

    load = param.load_path
    read = functools.cache(lambda path, fs: load(path, fs))
    param.load_path = lambda path, fs, **options: read(path, fs) if not options else load(path, fs, **options)
    try:
        yield
    finally:
        param.load_path = load


def _changed_by_hand(stage: stages.Stage) -> str | None:
    """An output that was written after its job had ended, if there is one."""
    for job in stage.jobs:
        for path in job.output.values():
            known: dict[str, Any] = dag.recorded(path) or {}
            ended = known.get("endtime")
            if ended is not None and Path(path).stat().st_mtime > ended + _SECONDS:
                return path
    return None
