"""Compare encoders pre-trained on different sources, with paired, patient-level bootstrap intervals.

For each task, data set, method and label fraction: the value of every source, its difference to the reference source
of the same method (synthetic minus real, mixed minus real), and its difference to the baseline (random weights).

Patients are drawn with replacement, with all their studies, and the same draws serve all encoders of a data set, so
that differences are paired. In each resample a metric is computed for every run and averaged over encoder seeds and
probe seeds. Intervals are percentiles: they tell how the figures would move with other test patients, not with other
training runs; the spread over runs stands beside them.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import files, seeds, tables
from synvlp.tables import markdown, names, predictions, records, statistics


class Settings(records.Runs):
    """Settings of compare."""

    tasks: list[str] = job.setting([], "task of each file, in the files' order")
    exclusive: list[str] = job.setting([], "data sets whose labels exclude each other: accuracy is compared, too")
    reference: str = job.setting("real", "the source that all others of the same method are compared with")
    baseline: str = job.setting("random", "the method (with source none) that every encoder is compared with")
    resamples: int = job.setting(1000, "bootstrap resamples of the test patients", ge=100, le=100_000)
    seed: int = job.setting(0, "seeds the resamples", ge=0)
    margin: float = job.setting(0.02, "the largest difference that counts as none, in units of the metric", gt=0, lt=1)


class Inputs(job.Files):
    """Inputs of compare."""

    predictions: list[Path] = job.file("predictions of every encoder on every data set (Parquet)")


class Outputs(job.Files):
    """Outputs of compare."""

    comparison: Path = job.file("values and differences with intervals (Parquet)")
    csv: Path = job.file("the same as CSV")
    markdown: Path = job.file("the differences in Markdown, one table per task")


Arm = tuple[str, str]  # method, source


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the comparison.

    Raises JobError for lists that do not fit the files, files that are no predictions, and encoders that predicted
    different studies, labels or truths.
    """
    records.check_parallel(
        inputs.predictions,
        "predictions",
        tasks=settings.tasks,
        datasets=settings.datasets,
        methods=settings.methods,
        sources=settings.sources,
        encoder_seeds=settings.encoder_seeds,
    )
    listed = (settings.tasks, settings.datasets, settings.methods, settings.sources, settings.encoder_seeds)
    encoders = list(zip(*listed, strict=True))
    records.check_distinct(encoders, inputs.predictions)
    groups: dict[tuple[str, str], dict[tuple, Path]] = defaultdict(dict)
    for encoder, path in sorted(zip(encoders, inputs.predictions, strict=True), key=lambda item: item[0]):
        groups[encoder[:2]][encoder[2:]] = path
    rows = []
    for (task, dataset), paths in groups.items():
        rows += compare(task, dataset, paths, settings)
    frame = adjust(pd.DataFrame(rows, columns=list(tables.COMPARISON.columns)))
    tables.write(frame, outputs.comparison, tables.COMPARISON)
    frame = records.in_order(frame)
    tables.write_csv(records.significant(frame), outputs.csv)
    files.write_text(outputs.markdown, as_markdown(frame, settings))


def compare(task: str, dataset: str, paths: dict[tuple, Path], settings: Settings) -> list[dict]:
    """The rows of one data set. `paths`: (method, source, encoder seed) to its predictions."""
    values, split = resampled(task, dataset, paths, settings)
    common = {"task": task, "dataset": dataset, "studies": len(split.studies), "patients": split.patient_count}
    rows = []
    for (fraction, metric), arms in sorted(values.items()):
        for arm, found in sorted(arms.items()):
            row = common | {"metric": metric, "fraction": fraction, "method": arm[0], "source": arm[1]}
            rows.append(row | _value(found))
            for reference in _references(arm, arms, settings):
                rows.append(row | _difference(found, reference, arms[reference], settings.margin))
    defined = [row for row in rows if not np.isnan(row["value"])]
    if len(defined) < len(rows):
        job.log.info(
            "%s: %d figures are not defined on this test split and left out", dataset, len(rows) - len(defined)
        )
    for arm in sorted({arm for arms in values.values() for arm in arms}):
        if arm[1] not in ("none", settings.reference) and all(
            (arm[0], settings.reference) not in v for v in values.values()
        ):
            job.log.info("%s: %s has no %s to compare with", dataset, names.arm(*arm), settings.reference)
    return defined


def resampled(
    task: str, dataset: str, paths: dict[tuple, Path], settings: Settings
) -> tuple[dict[tuple, dict[Arm, np.ndarray]], predictions.Split]:
    """Metrics of every run on the data as it is (column 0) and on every resample.

    Returns:
        {(fraction, metric): {(method, source): float64 (runs, 1 + resamples)}}, and the test split.
    """
    split, weights = None, None
    values: dict = defaultdict(lambda: defaultdict(list))
    for (method, source, _), path in job.progress(list(paths.items()), f"encoders on {dataset}"):
        for fraction, _, group in predictions.runs(predictions.read(path, task)):
            if split is None:
                split = predictions.split_of(group, task, path)
                seed = seeds.seed_of(settings.seed, "patients", task, dataset)
                weights = statistics.draw_weights(split.patient_count, settings.resamples, seed)
                job.log.info("%s: %d studies of %d patients", dataset, len(split.studies), split.patient_count)
                if by_chance := predictions.chance(group, task, path, split):
                    for metric, found in predictions.on_resamples(by_chance, weights, split).items():
                        values[fraction, metric][names.CHANCE, "none"].append(found)
            predictions.check(group, task, path, split)
            function = predictions.measure(group, task, path, split, dataset in settings.exclusive)
            for metric, found in predictions.on_resamples(function, weights, split).items():
                values[fraction, metric][method, source].append(found)
    return {key: {arm: np.stack(found) for arm, found in arms.items()} for key, arms in values.items()}, split


def adjust(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with Holm's adjustment of `share`, over all differences of the same metric and kind.

    The two kinds answer two questions: sources against the reference source, and encoders against the baseline.
    """
    kind = frame["reference_source"] == "none"
    for _, rows in frame[frame["reference_method"] != ""].groupby(["metric", kind]):
        frame.loc[rows.index, "adjusted"] = statistics.holm(rows["share"].to_numpy(np.float64))
    return frame


def as_markdown(frame: pd.DataFrame, settings: Settings) -> str:
    """The differences for people, below a note on what the columns mean.

    Per task, one table of all metrics against the reference source, and one of the first metric against the baseline.
    """
    lines = ["# Comparison", "", markdown.escape(note(settings)), ""]
    differences = frame[frame["reference_method"] != ""]
    if differences.empty:
        text = f"There is no encoder of source {settings.reference} or {settings.baseline} to compare with."
        lines.append(markdown.escape(text))
    own = frame[frame["reference_method"] == ""].set_index(_KEY)["value"]
    for task in names.ordered(set(differences["task"]), tuple(names.MAIN)):
        rows = differences[differences["task"] == task]
        first = names.main(task, rows["metric"])[0]
        baseline = rows["reference_source"] == "none"
        for title, chosen in (
            (f"minus {settings.reference} of the same method", rows[~baseline]),
            (
                f"{names.title(first)} minus {names.title(settings.baseline)}",
                rows[baseline & (rows["metric"] == first)],
            ),
        ):
            if len(chosen):
                lines += _markdown_table(f"{task.capitalize()}, {title}", chosen, own)
    return "\n".join(lines).rstrip("\n") + "\n"


def note(settings: Settings) -> str:
    """What the figures of a comparison mean, in one paragraph."""
    m = f"{settings.margin:g}"
    return (
        f"Differences of metrics that go from 0 to 1 (but CNR), more is better. Intervals are 95 % percentiles of "
        f"{settings.resamples} bootstrap resamples of the test patients, the same for both encoders (paired); figures "
        f"are means over runs (encoder seeds × probe seeds), and intervals do not cover what other training runs would "
        f"change. p is the two-sided bootstrap p-value, Holm the same adjusted for all differences of that metric "
        f"against {settings.reference}, or against {settings.baseline}. Verdicts, at the 5 % level and not adjusted: "
        f"equivalent if the 90 % interval lies within ±{m} (two one-sided tests); else superior or inferior if the "
        f"95 % interval excludes 0; else not inferior if the 90 % interval lies above -{m}; else undecided. "
        f"An interval that contains 0 is no proof of equality."
    )


_KEY = ["task", "dataset", "metric", "fraction", "method", "source"]


def _references(arm: Arm, arms: dict[Arm, np.ndarray], settings: Settings) -> list[Arm]:
    wanted = []
    if arm[1] not in ("none", settings.reference):
        wanted.append((arm[0], settings.reference))
    if arm[0] != settings.baseline:
        wanted.append((settings.baseline, "none"))
    return [reference for reference in wanted if reference in arms]


def _value(found: np.ndarray) -> dict:
    spread = float(found[:, 0].std(ddof=1)) if len(found) > 1 else np.nan
    empty = {"reference_method": "", "reference_source": "", "verdict": "", "reference_runs": 0}
    unknown = {"share": np.nan, "adjusted": np.nan, "margin": np.nan}
    return _intervals(statistics.mean_over(list(found))) | empty | unknown | {"spread": spread, "runs": len(found)}


def _difference(found: np.ndarray, reference: Arm, other: np.ndarray, margin: float) -> dict:
    difference = statistics.mean_over(list(found)) - statistics.mean_over(list(other))
    row = _intervals(difference)
    wide, narrow = (row["low"], row["high"]), (row["low90"], row["high90"])
    return row | {
        "reference_method": reference[0],
        "reference_source": reference[1],
        "share": statistics.share(difference[1:]),
        "adjusted": np.nan,
        "verdict": statistics.verdict(wide, narrow, margin),
        "margin": margin,
        "spread": np.nan,
        "runs": len(found),
        "reference_runs": len(other),
    }


def _intervals(values: np.ndarray) -> dict:
    low, high = statistics.interval(values[1:], 0.95)
    low90, high90 = statistics.interval(values[1:], 0.90)
    defined = int((~np.isnan(values[1:])).sum())
    return {"value": float(values[0]), "low": low, "high": high, "low90": low90, "high90": high90, "resamples": defined}


def _markdown_table(title: str, rows: pd.DataFrame, own: pd.Series) -> list[str]:
    heads = ["data set", "metric", "labels", "encoder", "value", "difference", "95 % interval", "p", "Holm", "verdict"]
    lines = [f"## {markdown.escape(title)}", "", markdown.row(heads)]
    lines.append(markdown.row(["---"] * 4 + ["---:"] * 5 + ["---"]))
    for row in rows.itertuples():
        value = own.loc[tuple(getattr(row, name) for name in _KEY)]
        lines.append(markdown.row(map(markdown.escape, _cells(row, value))))
    return [*lines, ""]


def _cells(row: tuple, value: float) -> list[str]:
    return [
        row.dataset,
        names.title(row.metric),
        names.percent(row.fraction),
        names.arm(row.method, row.source),
        f"{value:.3f}",
        names.signed(row.value),
        f"{names.signed(row.low)} to {names.signed(row.high)}",
        names.probability(row.share),
        names.probability(row.adjusted),
        row.verdict,
    ]
