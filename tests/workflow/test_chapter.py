"""The chapter's chain as users run it: written reports, a GAN, quality, curation, phases, ablations, scaling."""

import json

import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.workflow

SMALL = {"steps": 4, "batch": 8, "validate_every": 2, "sample_count": 2, "text_width": 16, "text_heads": 2}
QUICK = {"resamples": 20}
OVERLAY = {
    "concepts": {
        "corpora": ["phantom"],
        "vocabulary": {"kind": "table", "path": "studies/phantom-concepts.csv"},
        "written": {
            "balanced": {
                "corpus": "phantom",
                "sampling": {"method": "balanced", "count": 40, "findings": 2, "anatomy": 1, "cap": 12},
                "writer": {"kind": "template"},
            }
        },
    },
    "generators": {
        "gan": {"kind": "gan", "corpus": "phantom", "train_gan": SMALL},
    },
    "images": {
        "shards": 1,
        "quality": {
            "measure": True,
            "spaces": ["real"],
            "images_per_prompt": 2,
            "select_repeats": {"count": 3},
            "measure_fidelity": {**QUICK, "synthetic_splits": ["train", "val"]},
            "measure_memorization": QUICK,
            "measure_diversity": {**QUICK, "pairs": 20},
            "measure_agreement": QUICK,
        },
    },
    "pair_sets": {
        "balanced": {"corpus": "balanced", "generator": "diffusion", "copies": 1},
        "gan": {"corpus": "phantom", "generator": "gan", "share": 0.5},
        "cleaned": {"corpus": "phantom", "corrupted": True, "curated": True},
    },
    "sources": {"mixed": None, "everything": [{"balanced": 1, "gan": 1}, {"cleaned": 1}]},
    "encoders": {
        "methods": ["convirt"],
        "curation": {"judge_images": {"steps": 8}, "curate": {"max_rejected": 1.0}},
    },
    "tasks": {"datasets": dict.fromkeys(["regions", "lesions", "reports", "regions-named", "findings-asked"])},
    "tables": {
        "ablations": {"everything": ["real", "everything"]},
        "draw_scaling": {"sources": ["everything"], "reference": "real"},
    },
}


def test_the_whole_chain_ends_in_tables_and_a_page(copied):
    (copied.folder / "more.yaml").write_text(yaml.safe_dump(OVERLAY))
    done = copied.snakemake("--configfile", "tiny.yaml", "more.yaml")
    assert done.returncode == 0, done.stderr[-5000:]
    results = copied.folder / "results/tiny"
    audit = json.loads((results / "concepts/balanced/audit.json").read_text())
    assert audit["reports"]["written"] == 40 and audit["cap"]["concepts above it"] == 0
    quality = pd.read_csv(results / "tables/quality.csv")
    measured = set(zip(quality["generator"], quality["corpus"], strict=True))
    assert {("diffusion", "balanced"), ("gan", "phantom")} <= measured
    curation = results / "encoders/curation/phantom/corrupted"
    assert set(pd.read_csv(curation / "recall.csv").judge) == {"images", "pairs", "duplicates"}
    page = (results / "tables/index.html").read_text()
    assert all(word in page for word in ("everything", "balanced", "gan"))
    again = copied.snakemake("-n", "--configfile", "tiny.yaml", "more.yaml")
    assert "Nothing to be done" in again.stdout + again.stderr
