"""What the settings classes say, printed: the reference page of docs/ and the JSON schema for editors."""

import importlib
import json
from typing import Any

from pydantic_core import PydanticUndefined

from synvlp import kinds, provenance, registry, study
from synvlp.cli import VERBS, limits
from synvlp.concepts import writers


def markdown() -> str:
    """docs/settings.md: every setting of every job with type, unit, default, limits and meaning."""
    lines = [
        "# Settings",
        "",
        "Every setting of every job, printed from the classes that define them (`make docs`). The same classes",
        "check `config.yaml`, make the options of `synvlp VERB`, and make `studies/schema.json`, with which an",
        "editor checks and completes a config. An overlay such as `studies/open.yaml` changes single keys of",
        "`config.yaml`; a key set to `null` is removed. `${NAME:-default}` stands for an environment variable.",
        "",
        "Settings marked † are given by the workflow and have no key in the config.",
    ]
    for verb, module in VERBS.items():
        lines += ["", f"## {verb}", "", provenance.docstring(module), ""]
        lines += [f"In the config: `{place}`.", ""] if (place := PLACES.get(verb)) else []
        lines += _table(importlib.import_module(module).Settings, verb)
    return "\n".join(lines) + "\n"


def json_schema() -> str:
    """studies/schema.json: the JSON schema of the whole config."""
    return json.dumps(study.schema().model_json_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


# Verb -> the section of the config that holds its settings.
PLACES = {
    "draw-phantoms": "corpora.NAME (kind: phantom)",
    "read-manifest": "corpora.NAME (kind: manifest)",
    "read-iu": "corpora.NAME (kind: iu)",
    "anonymize": "reports.anonymize",
    "split-sections": "reports.split_sections",
    "write-prompts": "reports.write_prompts",
    "read-vocabulary": "concepts.vocabulary",
    "extract-concepts": "concepts.extract",
    "sample-concepts": "concepts.written.NAME.sampling",
    "train-writer": "concepts.written.NAME.writer.train_writer (kind: trained)",
    **{f"write-reports-{kind}": f"concepts.written.NAME.writer (kind: {kind})" for kind in writers.KINDS},
    "audit-reports": "concepts.written.NAME.audit",
    "draw-frequencies": "concepts.draw_frequencies",
    "train-autoencoder": "generators.NAME.train_autoencoder (kind: diffusion)",
    "train-diffusion": "generators.NAME.train_diffusion (kind: diffusion)",
    "finetune-diffusion": "generators.NAME.finetune_diffusion (kind: finetuned)",
    "adopt-pipeline": "generators.NAME.adopt_pipeline (kind: published)",
    **{f"train-{kind}": f"generators.NAME.train_{kind} (kind: {kind})" for kind in kinds.trained()},
    "partition": "images.partition",
    "synthesize": "images.synthesize",
    "screen": "images.screen",
    "contact-sheet": "images.contact_sheet",
    "train-tokenizer": "encoders.train_tokenizer",
    "build-pairs": "encoders.build_pairs; share and copies: pair_sets.NAME",
    "pretrain-convirt": "encoders.pretrain and encoders.convirt",
    "pretrain-gloria": "encoders.pretrain and encoders.gloria",
    "pretrain-mgca": "encoders.pretrain and encoders.mgca",
    "init-encoder": "encoders.init_encoder",
    "build-classification-set": "tasks.datasets.NAME (task: classification)",
    "build-segmentation-set": "tasks.datasets.NAME (task: segmentation)",
    "build-detection-set": "tasks.datasets.NAME (task: detection)",
    "encode": "tasks.encode",
    "classify": "tasks.classify",
    "segment": "tasks.segment",
    "detect": "tasks.detect",
    "build-retrieval-set": "tasks.datasets.NAME (task: retrieval)",
    **{name: f"tasks.{task.section}" for name, task in registry.tasks().items()},
    "tabulate": "tables.tabulate",
    "compare": "tables.compare",
    "draw-figure": "tables.draw_figure",
    "draw-ablation": "tables.draw_ablation, and tables.ablations for name and members",
    "draw-scaling": "tables.draw_scaling, with its sources as the curve",
    "write-page": "tables.write_page",
}


def _table(model: Any, verb: str) -> list[str]:
    if not model.model_fields:
        return ["It has no settings."]
    rows = ["| setting | default | unit | allowed | meaning |", "|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        cells = [
            f"`{name}`" + (" †" if name in study.given(verb) else ""),
            _default(field),
            (field.json_schema_extra or {}).get("unit", ""),
            limits(field),
            field.description or "",
        ]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    return "" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"
