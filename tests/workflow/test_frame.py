"""What holds for every rule, verb and module, however many there are."""

import importlib
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from synvlp import cli, provenance, registry
from synvlp.study import JOBS, module_of

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "rules").glob("*.smk"))
# Wildcards in the names of modules and verbs.
CHOSEN = {"method": "gloria", "kind": "vae", "task": "retrieval", "writer": "template"}
TARGETS = {"all", "corpora", "reports", "concepts", "generators", "images", "encoders", "tasks", "tables"}


def rules() -> dict[str, str]:
    """Every rule of the workflow with its text."""
    text = "\n".join(path.read_text() for path in [*RULES, ROOT / "Snakefile"])
    return {part.split(":")[0]: part for part in re.split(r"^rule ", text, flags=re.M)[1:]}


def test_files_are_short():
    assert len((ROOT / "Snakefile").read_text().splitlines()) < 80
    for path in RULES:
        assert len(path.read_text().splitlines()) < 200, path


@pytest.mark.parametrize("name", sorted(set(rules()) - TARGETS))
def test_every_rule_is_complete(name):
    text = rules()[name]
    for part in ("output:", "log:", "benchmark:", "params:", "threads:", "resources:", "mem_mb=", "runtime=", "shell:"):
        assert f"    {part}" in text, f"rule {name} has no {part}"
    params = re.search(r"    params:\n(.*?)\n    \w", text, flags=re.S)[1]
    assert re.findall(r"^        (\w+)=", params, flags=re.M) == ["settings", "code"]
    assert f'study.settings("{name}")' in params and f'study.code("{name}")' in params
    assert "run:" not in text and "script:" not in text


def test_every_stage_has_its_target():
    assert set(rules()) >= TARGETS


def test_every_rule_calls_the_verb_of_its_job():
    for name in JOBS:
        verb = re.search(r'"synvlp ([\w{}.-]+)', rules()[name])[1]
        for task in registry.tasks():
            chosen = {**CHOSEN, "task": task}
            called = verb.format(wildcards=SimpleNamespace(**chosen))
            assert cli.VERBS[called] == module_of(name, chosen), name


def test_every_option_of_a_rule_exists():
    for name in JOBS:
        job = importlib.import_module(module_of(name, CHOSEN))
        known = {
            f"--{option.replace('_', '-')}"
            for part in (job.Inputs, job.Outputs, job.Settings)
            for option in part.model_fields
        }
        used = set(re.findall(r"--[a-z][a-z-]*", rules()[name].partition("shell:")[2]))
        assert used <= known, f"{name}: {used - known}"


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_every_option_is_explained(verb, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([verb, "--help"])
    assert end.value.code == 0
    # Lines may break at hyphens.
    shown = "".join(capsys.readouterr().out.split())
    for part in (job := importlib.import_module(cli.VERBS[verb])).Inputs, job.Outputs, job.Settings:
        for option, field in part.model_fields.items():
            assert field.description, f"{verb}: {option} has no description"
            assert f"--{option.replace('_', '-')}" in shown
            assert "".join(field.description.split()) in shown, f"{verb}: {option} is not explained"


def test_whole_numbers_of_one_name_all_have_a_unit_or_none():
    units: dict[str, set[str]] = {}
    bare: dict[str, set[str]] = {}
    for verb, module in cli.VERBS.items():
        for name, field in importlib.import_module(module).Settings.model_fields.items():
            if int in cli._flat(field.annotation):
                unit = (field.json_schema_extra or {}).get("unit")
                (units if unit else bare).setdefault(name, set()).add(verb)
    counted = {"steps", "batch", "warmup", "accumulation", "accumulate", "epochs", "patience", "validate_every"}
    assert counted <= set(units)
    assert not {(verb, name) for name in units for verb in bare.get(name, ())}


def test_unknown_verb_names_the_nearest(capsys):
    assert cli.main(["pretrain-gloris"]) == 2
    assert "did you mean pretrain-gloria?" in capsys.readouterr().err


def imported(code: str) -> set[str]:
    """The top-level packages that are imported after `code` ran in a fresh Python."""
    found = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('MODULES', *sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
    return {name.split(".")[0] for name in found.rpartition("MODULES ")[2].split()}


HEAVY = {"torch", "torchvision", "diffusers", "transformers", "sklearn", "matplotlib", "scipy"}


def test_help_and_the_study_import_nothing_heavy():
    code = """
from synvlp import cli, study
cli.overview()
study.schema()
for rule in study.JOBS:
    module = study.module_of(rule, {"method": "mgca", "kind": "gan", "task": "zero-shot", "writer": "server"})
    study.options(module.removeprefix("synvlp."))
"""
    assert not imported(code) & HEAVY


def test_planning_imports_nothing_heavy():
    code = """
from snakemake.cli import main
try:
    main(['-n', '--quiet'])
except SystemExit as end:
    assert not end.code, f"planning ended with {end.code}"
"""
    assert not imported(code) & {"torch", "torchvision", "diffusers", "transformers"}


def test_stages_speak_through_files_only():
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_workflow_is_clean():
    lint = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert "Congratulations" in lint.stderr, lint.stderr
    style = subprocess.run(
        [Path(sys.executable).parent / "snakefmt", "--check", "Snakefile", "rules"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert style.returncode == 0, style.stderr


def test_pages_made_from_the_code_are_up_to_date():
    from synvlp import reference

    assert (ROOT / "docs/settings.md").read_text() == reference.markdown(), "run `make docs`"
    assert (ROOT / "studies/schema.json").read_text() == reference.json_schema(), "run `make docs`"


def test_every_rule_has_a_box_in_the_picture_of_the_readme():
    make = runpy.run_path(str(ROOT / "docs/make.py"))
    boxed = [rule for stage in make["STAGES"] for rule in make["rules_of"](ROOT / f"rules/{stage}.smk")]
    assert sorted(boxed) == sorted(set(rules()) - {"all"})


def test_methods_fingerprint_their_own_module():
    gloria = provenance.closure("synvlp.encoders.gloria")
    assert "synvlp.encoders.mgca" not in gloria and "synvlp.encoders.trainer" in gloria
    assert "synvlp.study" not in gloria and "synvlp.cli" not in gloria
