"""What a comparison found, in sentences that say no more than its intervals do."""

from collections.abc import Sequence

import pandas as pd

from synvlp.tables import names

MANY = 3  # sources beside the reference; of more, sentences name those on each side of 0 together


def question(frame: pd.DataFrame, reference: str) -> str:
    """What the study asked and how, from the rows of own values."""
    own = frame[frame["reference_method"] == ""]
    trained = own[own["source"] != "none"]
    methods = [names.title(name) for name in names.ordered(trained["method"], names.METHODS)]
    sources = names.ordered(trained["source"], names.SOURCES)
    bare = set(own.loc[own["source"] == "none", "method"]) - {names.CHANCE}
    controls = [names.title(name) for name in names.ordered(bare, names.METHODS)]
    fractions = [names.percent(part) for part in sorted(set(own["fraction"])) if part]
    datasets = own[["task", "dataset"]].drop_duplicates()
    text = "Can a medical vision-language model be pre-trained on synthetic chest X-rays instead of real ones? "
    if methods:
        text += f"{listed(methods)} {verb(methods)} pre-trained on {listed(sources)} pairs of image and report"
        text += f", beside {listed(controls)} without such pre-training. " if controls else ". "
    tasks = names.ordered(set(datasets["task"]), tuple(names.MAIN))
    text += f"Each image encoder was then tested in {listed(tasks)} on {count(len(datasets), 'data set')}"
    text += f", with {listed(fractions)} of the training labels." if fractions else ", without training labels."
    trained_for = own.loc[own["fraction"] > 0, "task"]
    without = names.ordered(set(own["task"]) - set(trained_for), tuple(names.MAIN))
    text += f" {listed(without).capitalize()} used none." if fractions and without else ""
    if reference in sources and len(sources) > 1:
        text += f" Every other source is compared with {reference}, method by method, on the same test patients."
    return text


def answers(frame: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Titles with sentences on the differences of each task's first metric: all at once, then per data set."""
    first = {task: names.main(task, rows["metric"])[0] for task, rows in frame.groupby("task")}
    chosen = frame[(frame["reference_method"] != "") & (frame["metric"] == frame["task"].map(first))]
    found = []
    for task in names.ordered(set(chosen["task"]), tuple(names.MAIN)):
        rows = chosen[chosen["task"] == task]
        for dataset, part in rows.groupby("dataset"):
            title = f"{task.capitalize()}, {dataset} ({names.title(first[task])}, {patients(part)})"
            found.append((title, _sentences(part)))
    return [("In short", _in_short(chosen)), *found] if len(found) > 1 else found


def caveats(frame: pd.DataFrame) -> str:
    """How far the intervals and verdicts reach."""
    runs = frame.loc[frame["method"] != names.CHANCE, "runs"]
    ran = str(runs.min()) if runs.min() == runs.max() else f"{runs.min()} to {runs.max()}"
    text = (
        "Intervals show how the figures would move with other test patients. They do not show how they would move "
        f"with other training runs: each figure is the mean of {count(ran, 'run')} (encoder seeds × probe seeds). "
        "An interval that contains 0 does not prove that two sources are equally good"
    )
    margin = frame["margin"].dropna()
    if len(margin):
        text += f"; only the test of equivalence says that a difference is smaller than {margin.iloc[0]:g}"
    return f"{text}. p-values and their adjustment for the number of comparisons are in comparison.csv."


def listed(items: Sequence[str]) -> str:
    """Items as a list in a sentence: a, b and c."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def count(number: int | str, what: str) -> str:
    """A number with its noun: 1 run, 2 runs."""
    return f"{number} {what}{'' if str(number) == '1' else 's'}"


def verb(items: Sequence[str]) -> str:
    """Was or were."""
    return "was" if len(items) == 1 else "were"


def patients(rows: pd.DataFrame) -> str:
    """How large the test split is."""
    studies, people = int(rows["studies"].iloc[0]), int(rows["patients"].iloc[0])
    return f"{studies} test {'study' if studies == 1 else 'studies'} of {count(people, 'patient')}"


def _in_short(rows: pd.DataFrame) -> list[str]:
    """Each source against the reference over all tasks, data sets, methods and label fractions."""
    found = []
    for source, reference, chosen in _contrasts(rows):
        sides = [f"{side} in {of.sum()}" for side, of in _sides(chosen).items()]
        held = int((chosen["adjusted"] < 0.05).sum())
        over = f"{count(len(chosen), 'comparison')} (data sets × methods × label fractions)"
        found.append(
            f"{source} − {reference}, over {over}: the 95 % interval {listed(sides)}. At the 5 % level, "
            f"{held or 'none'} differ from 0 after Holm's adjustment; {_equivalent(chosen)}."
        )
    return found


def _sentences(rows: pd.DataFrame) -> list[str]:
    contrasts = _contrasts(rows)
    found = _together(rows) if len(contrasts) > MANY else _one_by_one(contrasts)
    baseline = rows[(rows["reference_source"] == "none") & (rows["source"] != "none")]
    for method, chosen in baseline.groupby("reference_method"):
        above = int((chosen["low"] > 0).sum())
        found.append(
            f"Pre-trained − {names.title(method)}: the 95 % interval lies above 0 for {above or 'none'} of "
            f"{count(len(chosen), 'combination')} of encoder and label fraction."
        )
    return found


def _one_by_one(contrasts: list[tuple[str, str, pd.DataFrame]]) -> list[str]:
    """A sentence for each source."""
    found = []
    for source, reference, chosen in contrasts:
        parts = [
            f"with {names.share(fraction, 'the labels')} the 95 % interval {_of_methods(part)}"
            for fraction, part in chosen.groupby("fraction")
        ]
        low, high = names.signed(chosen["value"].min()), names.signed(chosen["value"].max())
        extent = f"The difference is {low}" if len(chosen) == 1 else f"Differences range from {low} to {high}"
        found.append(f"{source} − {reference}: {'; '.join(parts)}. {extent}; {_equivalent(chosen)}.")
    return found


def _together(rows: pd.DataFrame) -> list[str]:
    """A sentence for each reference and label fraction, which names the sources on either side of 0."""
    found = []
    against = rows[rows["reference_source"] != "none"]
    for (reference, fraction), chosen in against.groupby(["reference_source", "fraction"]):
        parts = []
        for side, of in _sides(chosen).items():
            named = [
                f"{names.title(method)} on {listed(names.ordered(part['source'], names.SOURCES))}"
                for method in names.ordered(chosen.loc[of, "method"], names.METHODS)
                for part in [chosen[of & (chosen["method"] == method)]]
            ]
            parts += [f"{side} for {', and for '.join(named)}"] if named else []
        found.append(
            f"With {names.share(fraction, 'the labels')}, the 95 % interval of the difference to {reference} "
            f"{'; it '.join(parts)}. Differences range from {names.signed(chosen['value'].min())} to "
            f"{names.signed(chosen['value'].max())}; {_equivalent(chosen)}."
        )
    return found


def _contrasts(rows: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Source, reference and rows of each comparison of sources."""
    against = rows[rows["reference_source"] != "none"]
    found = []
    for source in names.ordered(against["source"], names.SOURCES):
        chosen = against[against["source"] == source]
        found += [(source, reference, part) for reference, part in chosen.groupby("reference_source")]
    return found


def _sides(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Which intervals lie on which side of 0."""
    return {
        "contains 0": (rows["low"] <= 0) & (rows["high"] >= 0),
        "lies below 0": rows["high"] < 0,
        "lies above 0": rows["low"] > 0,
    }


def _of_methods(rows: pd.DataFrame) -> str:
    """Where the intervals of all methods lie at one label fraction."""
    parts = []
    for side, chosen in _sides(rows).items():
        who = [names.title(name) for name in names.ordered(rows.loc[chosen, "method"], names.METHODS)]
        if who:
            parts.append(f"{side} for {len(who)} of {count(len(rows), 'method')} ({listed(who)})")
    return listed(parts)


def _equivalent(rows: pd.DataFrame) -> str:
    shown, margin = int((rows["verdict"] == "equivalent").sum()), rows["margin"].iloc[0]
    if len(rows) == 1:
        return f"equivalence within ±{margin:g} is {'shown' if shown else 'not shown'}"
    return f"equivalence within ±{margin:g} is shown in {shown or 'none'} of the {len(rows)}"
