import re
from collections import Counter

import pandas as pd
import pytest

from synvlp import job
from synvlp.store import files
from synvlp.tables import records, summary, tabulate


@pytest.fixture
def study(tmp_path):
    """A maker of metrics.json and of the parallel lists that go with them."""

    class Study:
        def __init__(self):
            self.paths, self.lists = [], {"datasets": [], "methods": [], "sources": [], "encoder_seeds": []}

        def add(self, dataset, method, source, encoder_seed, results, task="classification"):
            path = tmp_path / f"{len(self.paths)}.json"
            listed = [{"fraction": f, "seed": s, "metrics": metrics} for f, s, metrics in results]
            files.write_json(path, {"task": task, "dataset": dataset, "settings": {}, "results": listed})
            self.paths.append(path)
            for values, value in zip(self.lists.values(), (dataset, method, source, encoder_seed), strict=True):
                values.append(value)

        def tabulate(self, **settings):
            outputs = tabulate.Outputs(**{name: tmp_path / name for name in ("csv", "markdown", "latex")})
            settings = tabulate.Settings(**self.lists, **settings)
            tabulate.run(settings, tabulate.Inputs(metrics=self.paths), outputs)
            return pd.read_csv(outputs.csv), outputs.markdown.read_text(), outputs.latex.read_text()

        def summarize(self):
            outputs = summary.Outputs(summary=tmp_path / "summary.csv")
            summary.run(summary.Settings(**self.lists), summary.Inputs(metrics=self.paths), outputs)
            return pd.read_csv(outputs.summary)

    return Study()


def fill(study):
    study.add("chest", "mgca", "synthetic", 0, [(0.1, 0, {"auroc": 0.7}), (1.0, 0, {"auroc": 0.80})])
    study.add("chest", "zeta", "real", 0, [(0.1, 0, {"auroc": 0.5}), (1.0, 0, {"auroc": 0.61})])
    study.add("chest", "convirt", "real", 1, [(0.1, 0, {"auroc": 0.9}), (1.0, 0, {"auroc": 0.8})])
    study.add("chest", "convirt", "real", 0, [(0.1, s, {"auroc": 0.6 + s / 10, "auroc/x": 1}) for s in (0, 1)])
    study.add("chest", "random", "none", 0, [(0.1, 0, {"auroc": 0.5})])
    study.add("chest", "convirt", "blend", 0, [(0.1, 0, {"auroc": 0.5})])
    return study


def test_table_holds_mean_spread_and_count(study):
    table, markdown, _ = fill(study).tabulate()
    row = table[(table.method == "convirt") & (table.source == "real")].iloc[0]
    assert row["chest auroc 0.1 n"] == 3
    assert row["chest auroc 0.1 mean"] == pytest.approx((0.9 + 0.6 + 0.7) / 3, abs=1e-4)
    assert row["chest auroc 0.1 sd"] == pytest.approx(pd.Series([0.9, 0.6, 0.7]).std(), abs=1e-4)
    assert pd.isna(row["chest auroc 1 sd"])
    assert "| ConVIRT | real | **0.733 ± 0.153** | **0.800** |" in markdown
    assert "n = 1 to 3 runs (1 to 2 encoder × 1 to 2 probe seeds)" in markdown


def test_rows_and_columns_come_in_the_studys_order(study):
    table, markdown, _ = fill(study).tabulate()
    expected = ["random/none", "convirt/real", "convirt/blend", "mgca/synthetic", "zeta/real"]
    assert (table.method + "/" + table.source).tolist() == expected
    assert markdown.index("chest · AUROC · 10 %") < markdown.index("chest · AUROC · 100 %")
    assert "| random weights | – | 0.500 | – |" in markdown


def test_best_of_each_column_is_bold_with_ties(study):
    _, markdown, latex = fill(study).tabulate()
    assert markdown.count("**0.800**") == latex.count(r"\textbf{0.800}") == 2
    assert len(re.findall(r"\*\*.*?\*\*", markdown)) == 3


def test_a_single_run_shows_no_spread(study):
    study.add("chest", "mgca", "real", 0, [(1.0, 0, {"auroc": 0.8})])
    _, markdown, _ = study.tabulate()
    assert "a single run each (n = 1)" in markdown
    assert "±" not in markdown
    assert "**" not in markdown


def test_only_main_metrics_of_the_task_are_columns(study):
    metrics = {"dice": 0.5, "dice_positives": 0.4, "iou": 0.3, "dice/lung": 0.9, "pixels": 3}
    study.add("lungs", "mgca", "real", 0, [(1.0, 0, metrics)], task="segmentation")
    table, _, _ = study.tabulate(task="segmentation")
    means = [name for name in table.columns if name.endswith("mean")]
    assert means == ["lungs dice 1 mean", "lungs dice_positives 1 mean", "lungs iou 1 mean"]


def test_names_are_escaped(study):
    study.add("<b>&_%", "a|b", "x_y", 0, [(1.0, 0, {"auroc": 0.8})])
    study.add("<b>&_%", "mgca", "real", 0, [(1.0, 0, {"auroc": 0.7})])
    table, markdown, latex = study.tabulate()
    assert "<b>&_% auroc 1 mean" in table.columns
    assert r"&lt;b&gt;&amp;\_% · AUROC" in markdown
    assert r"| a\|b | x\_y |" in markdown
    assert "<b>" not in markdown
    assert r"\textless{}b\textgreater{}\&\_\%" in latex
    assert r"a|b & x\_y & \textbf{0.800} \\" in latex


def test_latex_is_balanced_and_complete(study):
    _, _, latex = fill(study).tabulate()
    begun = Counter(re.findall(r"\\begin\{(\w+)\}", latex))
    assert begun == Counter(re.findall(r"\\end\{(\w+)\}", latex)) == Counter(["table", "tabular"])
    rows = [line for line in latex.splitlines() if line.endswith("\\\\")]
    assert {line.count("&") - line.count(r"\&") for line in rows} == {3}
    assert latex.replace(r"\%", "").count("%") == 1  # the comment that names the package
    assert all(rule in latex for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule(lr){3-4}"))


def test_reruns_give_the_same_bytes(study, tmp_path):
    fill(study).tabulate()
    before = [(tmp_path / name).read_bytes() for name in ("csv", "markdown", "latex")]
    order = [3, 0, 5, 2, 1, 4]
    study.paths = [study.paths[place] for place in order]
    study.lists = {name: [values[place] for place in order] for name, values in study.lists.items()}
    study.tabulate()
    assert before == [(tmp_path / name).read_bytes() for name in ("csv", "markdown", "latex")]


def test_summary_holds_every_number_sorted(study):
    frame = fill(study).summarize()
    assert list(frame.columns) == records.COLUMNS
    assert len(frame) == 12
    assert frame["method"].drop_duplicates().tolist()[0] == "random"
    assert (frame["metric"] == "auroc/x").sum() == 2
    chosen = frame[(frame.method == "convirt") & (frame.source == "real") & (frame.metric == "auroc")]
    assert chosen[["fraction", "encoder_seed", "seed", "value"]].values.tolist() == [
        [0.1, 0, 0, 0.6],
        [0.1, 0, 1, 0.7],
        [0.1, 1, 0, 0.9],
        [1.0, 1, 0, 0.8],
    ]


def test_undefined_metrics_are_left_out_of_means(study):
    study.add("chest", "mgca", "real", 0, [(1.0, 0, {"auroc": None}), (1.0, 1, {"auroc": 0.6})])
    table, _, _ = study.tabulate()
    assert table["chest auroc 1 mean"].tolist() == [0.6]
    assert study.summarize()["value"].isna().sum() == 1


def test_wrong_input_is_named(study, tmp_path):
    with pytest.raises(job.JobError, match="no file in metrics"):
        study.tabulate()
    fill(study)
    with pytest.raises(job.JobError, match="table of segmentation was given metrics of classification"):
        study.tabulate(task="segmentation")
    study.lists["methods"].append("extra")
    with pytest.raises(job.JobError, match="methods has 7 entries for 6 files"):
        study.tabulate()
    study.lists["methods"].pop()
    study.lists["sources"][0], study.lists["methods"][0], study.lists["encoder_seeds"][0] = "real", "convirt", 1
    with pytest.raises(job.JobError, match="2 files are given for chest, convirt, real, 1"):
        study.tabulate()
    files.write_text(study.paths[0], "[]")
    study.lists["encoder_seeds"][0] = 9
    with pytest.raises(job.JobError, match=r"0\.json: not the metrics of a task"):
        study.summarize()


def test_metrics_without_a_main_metric_are_an_error(study):
    study.add("chest", "mgca", "real", 0, [(1.0, 0, {"auroc/x": 0.5})])
    with pytest.raises(job.JobError, match="hold none of auroc, accuracy"):
        study.tabulate()


def test_chance_stands_once_above_the_encoders_of_a_task_without_training(study, tmp_path):
    for method, value in (("convirt", 0.7), ("mgca", 0.6)):
        study.add("asked", method, "real", 0, [(0.0, 0, {"auroc": value})], task="zero-shot")
        content = files.read_json(study.paths[-1])
        content["results"][0]["chance"] = {"auroc": 0.5}
        files.write_json(study.paths[-1], content)
    table, markdown, _ = study.tabulate(task="zero-shot")
    assert table["method"].tolist() == ["chance", "convirt", "mgca"]
    assert table["asked auroc 0 mean"].tolist() == [0.5, 0.7, 0.6]
    assert "No training label was used (0 %)" in markdown and "a single run each" in markdown
    assert study.summarize().method.tolist() == ["chance", "convirt", "mgca"]


def test_metrics_of_a_task_that_is_not_known_keep_their_names(study):
    study.add("set", "gloria", "real", 0, [(0.0, 0, {"zeal": 0.7, "bright": 0.2, "bright/x": 0.1})], task="toy")
    table, markdown, _ = study.tabulate(task="toy")
    assert [name for name in table.columns if name.endswith("mean")] == ["set bright 0 mean", "set zeal 0 mean"]
    assert "more is better. No training label" in markdown


def test_captions_explain_metrics_at_several_k_once_and_say_what_has_no_bounds(study):
    metrics = {f"recall_{k}_{way}": 0.1 for k in (1, 5) for way in ("image_to_text", "text_to_image")}
    study.add("set", "gloria", "real", 0, [(0.0, 0, metrics)], task="retrieval")
    _, markdown, _ = study.tabulate(task="retrieval")
    assert markdown.count("R@k is the share of questions") == 1 and "R@5 text→image" in markdown
    study.paths.clear()
    for values in study.lists.values():
        values.clear()
    study.add("set", "gloria", "real", 0, [(0.0, 0, {"pointing": 0.1, "cnr": -0.3})], task="grounding")
    assert "All metrics but CNR go from 0 to 1" in study.tabulate(task="grounding")[1]
