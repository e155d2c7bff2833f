"""The paper's study is planned as it would be on a cluster, with empty files in place of its data."""

import re
from collections import Counter

import pytest
import yaml

from synvlp.study import Study, overlaid

pytestmark = pytest.mark.workflow
OVERLAY = "studies/paper.yaml"


def test_the_papers_study_names_missing_data_and_is_planned_when_they_are_there(checkout, monkeypatch):
    config, overlay = (checkout.folder / name for name in ("config.yaml", OVERLAY))
    for name in re.findall(r"\$\{(\w+)", overlay.read_text()):
        monkeypatch.delenv(name, raising=False)
    study = Study(overlaid(yaml.safe_load(config.read_text()), yaml.safe_load(overlay.read_text())))
    outside = study.files_from_outside()
    for path in (checkout.folder / name for name in outside[1:]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    missing = checkout.snakemake("-n", "--configfile", OVERLAY)
    assert missing.returncode != 0
    assert "rule read_manifest" in missing.stdout and outside[0] in missing.stdout
    assert "set CHESTXRAY14 (now not set)" in missing.stdout
    first = checkout.folder / outside[0]
    first.parent.mkdir(parents=True, exist_ok=True)
    first.touch()
    result = checkout.snakemake("-n", "--quiet", "rules", "--configfile", OVERLAY)
    assert result.returncode == 0, result.stderr
    jobs = Counter({name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", result.stdout, re.MULTILINE)})
    assert jobs["synthesize"] == 256
    assert jobs["pretrain"] == 3 * 4 * 3 and jobs["init_encoder"] == 3 + 1  # random weights per seed, and ImageNet's
    assert jobs["classify"] == 4 * 40 and jobs["segment"] == jobs["detect"] == 2 * 40
    assert jobs["total"] == sum(jobs.values()) - jobs["total"]
