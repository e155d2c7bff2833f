"""Sources, phases, shares and ablations of the config: what the jobs are told, and what a wrong one is told."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from synvlp.study import Study, StudyError, overlaid, sources

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


class Wildcards(SimpleNamespace):
    def items(self):
        return vars(self).items()


def study(**overlay):
    return Study(overlaid(CONFIG, overlay))


def flags(made, rule, **wildcards):
    """The flags of a job by name, as lists of words."""
    found = {}
    for word in made.settings(rule)(Wildcards(**wildcards)).split():
        if word.startswith("--"):
            found[word] = values = []
        else:
            values.append(word)
    return found


def pretrained(made, source):
    found = flags(made, "pretrain", method="convirt", source=source, seed="0")
    return found["--weights"], found.get("--phases")


def test_a_plain_source_is_one_phase_in_the_order_of_its_sets():
    made = study(sources={"turned": {"synthetic": 3, "real": 1}})
    assert made.sets_of("turned") == ["real", "synthetic"]
    assert pretrained(made, "turned") == (["1.0", "3.0"], None)
    assert pretrained(study(sources={"turned": [{"synthetic": 3, "real": 1}]}), "turned") == (["1.0", "3.0"], None)


def test_phases_have_weights_for_all_sets_and_repeated_ones_are_longer():
    made = study(
        sources={
            "then": [{"synthetic": 1}, {"real": 1}],
            "long": [{"synthetic": 1}, {"synthetic": 1}, {"synthetic": 1, "real": 2}],
        }
    )
    assert pretrained(made, "then") == (["0.0", "1.0", "1.0", "0.0"], ["1.0", "1.0"])
    assert pretrained(made, "long") == (["0.0", "1.0", "2.0", "1.0"], ["2.0", "1.0"])
    assert {"generator": "diffusion", "corpus": "phantom"} in made.image_sets()


def test_shares_and_copies_are_their_pair_sets():
    made = study(pair_sets={"quarter": {"corpus": "phantom", "generator": "diffusion", "share": 0.25, "copies": 1}})
    quarter, whole = (flags(made, "build_pairs", pair_set=name) for name in ("quarter", "synthetic"))
    assert (quarter["--share"], quarter["--copies"]) == (["0.25"], ["1"])
    assert (whole["--share"], whole.get("--copies")) == (["1.0"], None)
    assert {**quarter, "--share": ["1.0"], "--copies": None} == {**whole, "--copies": None}


def test_only_names_the_methods_of_a_source():
    made = study(encoders={"only": {"mixed": ["gloria"]}})
    trained = {(run["method"], run["source"]) for run in made.encoders() if run["source"] != "none"}
    assert trained == {
        *((method, source) for method in ("convirt", "gloria", "mgca") for source in ("real", "synthetic")),
        ("gloria", "mixed"),
    }
    assert not [title for title in made.page()["pictures"] if title == "Loss of convirt, mixed"]
    assert len(made.runs()) == 3 * (7 + 1) + 3 * 7  # without training, only encoders that read


ABLATIONS = {"generator": ["synthetic", "mixed"], "order": ["real", "mixed"], "again": ["synthetic", "mixed", "real"]}


def test_ablations_are_comparisons_beside_those_with_the_reference():
    assert sources.contrasts(ABLATIONS, "real") == [("mixed", "synthetic"), ("real", "synthetic")]
    found = flags(study(tables={"ablations": ABLATIONS}), "compare")
    assert found["--compared"] == ["mixed", "real"]
    assert found["--compared-with"] == ["synthetic", "synthetic"]
    assert "--compared" not in flags(study(), "compare")
    one = flags(study(tables={"ablations": ABLATIONS}), "draw_ablation", ablation="order")
    assert (one["--name"], one["--members"]) == (["order"], ["real", "mixed"])


def test_the_scaling_figure_has_its_runs_and_counts_only_if_asked_for():
    made = study(tables={"draw_scaling": {"sources": ["synthetic", "mixed"]}}, encoders={"only": {"mixed": ["mgca"]}})
    found = flags(made, "draw_scaling", task="classification")
    assert (found["--curve"], found["--counted"]) == (["synthetic", "mixed"], ["synthetic", "mixed", "real"])
    shown = list(zip(found["--methods"], found["--sources"], strict=True))
    assert shown == [
        ("random", "none"),
        *((method, source) for method in ("convirt", "gloria") for source in ("real", "synthetic")),
        *(("mgca", source) for source in ("mixed", "real", "synthetic")),
    ]
    assert made.pair_counts()["mixed"] == "<results>/encoders/mgca/mixed/seed-0/summary.json"
    assert len(made.scaling_results("predictions.parquet", "classification")) == len(shown)
    assert "scaling-detection" in made.shown("figures")
    assert study().scaled_tasks() == [] and study().shown("figures") == study().tasks()


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ({"sources": {"then": [{"synthetic": 1}, {"reel": 1}]}}, ["sources.then", "'reel'", "did you mean 'real'?"]),
        ({"sources": {"then": []}}, ["sources.then: []", "at least 1 item"]),
        ({"sources": {"then": [{"real": 1}, {}]}}, ["sources.then.1: {}", "at least 1 item"]),
        ({"sources": {"then": [{"real": 0}]}}, ["sources.then.0.real: 0", "greater than 0"]),
        ({"sources": {"then": "real"}}, ["sources.then: 'real'", "valid list"]),
        ({"pair_sets": {"real": {"share": 0}}}, ["pair_sets.real.share: 0", "greater than 0"]),
        ({"pair_sets": {"real": {"copies": 0}}}, ["pair_sets.real.copies: 0", "greater than or equal to 1"]),
        ({"encoders": {"only": {"reel": ["mgca"]}}}, ["encoders.only.reel", "did you mean 'real'?"]),
        ({"encoders": {"methods": ["mgca"], "only": {"real": ["gloria"]}}}, ["encoders.only.real", "'gloria'", "mgca"]),
        ({"encoders": {"only": {"real": []}}}, ["encoders.only.real", "at least 1 item"]),
        ({"tables": {"ablations": {"order": ["mixed"]}}}, ["tables.ablations.order", "at least 2 items"]),
        ({"tables": {"ablations": {"order": ["mixed", "thenn"]}}}, ["tables.ablations.order", "'thenn'"]),
        ({"tables": {"ablations": {"order": ["mixed", "mixed"]}}}, ["tables.ablations.order", "named twice"]),
        (
            {
                "encoders": {"only": {"real": ["mgca"], "mixed": ["convirt"]}},
                "tables": {"ablations": {"a": ["real", "mixed"]}},
            },
            ["tables.ablations.a: real and mixed have no method in common"],
        ),
        ({"tables": {"draw_scaling": {"sources": ["some"]}}}, ["tables.draw_scaling.sources", "'some'"]),
        (
            {"tables": {"draw_scaling": {"sources": ["mixed"], "reference": "reel"}}},
            ["tables.draw_scaling.reference", "'reel'", "did you mean 'real'?"],
        ),
    ],
)
def test_what_cannot_be_is_named(overlay, said):
    with pytest.raises(StudyError) as error:
        study(**copy.deepcopy(overlay))
    for words in said:
        assert words in str(error.value)
