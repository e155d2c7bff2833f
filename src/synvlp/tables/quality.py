"""Make the table of how good and how private synthetic images are: measures by sets, each beside real images.

A cell holds a measure of the synthetic images with its 95 % interval, then the same measure of real images: a floor
for distances, a ceiling for agreement, and what chance gives for memorization. A second table below it shows agreement
finding by finding, of which the first has the mean.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from synvlp import job
from synvlp.store import files, tables
from synvlp.tables import markdown, records, tabulate

KINDS = ("fidelity", "diversity", "agreement", "memorization")
TITLES = {  # in the order of the table
    "fid": "FID",
    "fid_infinity": "FID∞",
    "kid": "KID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "ms_ssim": "MS-SSIM",
    "auroc": "AUROC of findings",
    "recall_at_1": "own prompt found, R@1",
    "recall_at_5": "own prompt found, R@5",
    "recall_at_10": "own prompt found, R@10",
    "nearer_train": "nearer to training than to held-out images",
    "close": "as close to training as the closest real images",
    "neighbour_ratio": "nearest over second nearest, lowest 5 %",
    "own_nearer": "own study's image nearer than others'",
}
OVERALL = {"auroc": "mean of findings"}  # measures of which the table shows this group alone
CAPTION = (
    "Synthetic images beside real ones: value with its 95 % interval over patients, then the same figure of held-out "
    "real images, then n, the number of images, prompts or pairs. FID and KID: less is nearer; their floor is one "
    "half of the real patients against the other. "
    "Precision, recall, density and coverage: more is better, their ceiling is that of real halves. All these compare "
    "equal numbers of images. MS-SSIM: less is more diverse; beside it that of real pairs. AUROC and R@k: more agrees "
    "better with the prompt; real images are the ceiling of the classifier and of the encoder. Memorization: half (for "
    "nearest images) and the real images' own figures are what an image shows that copies nothing; no figure here, "
    "and no threshold on one, shows that images are private."
)
FINDINGS_CAPTION = (
    "AUROC of each finding in synthetic images, by a classifier that was fitted to real ones, with its 95 % interval "
    "over patients. Below is its ceiling, the same classifier on held-out real images. Of a finding that it does not "
    "see there (near 0.5), the other rows say nothing. –: too few images with or without the finding."
)


class Settings(job.Settings):
    """Settings of tabulate-quality."""

    generators: list[str] = job.setting([], "generator of each set, in the order of the files")
    corpora: list[str] = job.setting([], "corpus of each set's prompts, in the order of the files")


class Inputs(job.Files):
    """Inputs of tabulate-quality."""

    fidelity: list[Path] = job.file("measures of fidelity of each set (JSON)")
    memorization: list[Path] = job.file("measures of memorization of each set (JSON)")
    diversity: list[Path] = job.file("measures of diversity of each set (JSON)")
    agreement: list[Path] = job.file("measures of agreement of each set (JSON)")


class Outputs(job.Files):
    """Outputs of tabulate-quality."""

    quality: Path = job.file("all measures, a row each (Parquet)")
    csv: Path = job.file("the same, for people (CSV)")
    markdown: Path = job.file("the table in Markdown")
    latex: Path = job.file("the table in LaTeX; needs the package booktabs")


@dataclass(frozen=True)
class Sheet:
    """A table: heads, and rows of text of which the first `labels` say what the row is."""

    heads: list[str]
    rows: list[list[str]]
    labels: int = 3
    caption: str = CAPTION


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the table. Raises JobError for lists that do not fit the files, and for files that hold no measures."""
    rows = []
    for kind in KINDS:
        paths = getattr(inputs, kind)
        records.check_parallel(paths, kind, generators=settings.generators, corpora=settings.corpora)
        for path, generator, corpus in zip(paths, settings.generators, settings.corpora, strict=True):
            rows += [{"generator": generator, "corpus": corpus, **row} for row in _measures(path)]
    frame = pd.DataFrame(rows, columns=list(tables.QUALITY.columns))
    if frame.empty:
        raise job.JobError("the files hold no measure")
    tables.write(frame, outputs.quality, tables.QUALITY)
    tables.write_csv(frame.sort_values(list(tables.QUALITY.key)), outputs.csv)
    made = [sheet(frame), *by_finding(frame)]
    files.write_text(outputs.markdown, "\n".join(map(as_markdown, made)))
    files.write_text(outputs.latex, "\n".join(map(as_latex, made)))
    job.log.info("%d measures of %d sets", len(frame), len(settings.generators))


def sheet(frame: pd.DataFrame) -> Sheet:
    """Rows by measure, space and group; one column per set of images."""
    sets = sorted(set(zip(frame["generator"], frame["corpus"], strict=True)))
    shown = frame[[OVERALL.get(row.measure, row.group) == row.group for row in frame.itertuples()]]
    cells = {(row.measure, row.space, row.group, row.generator, row.corpus): _cell(row) for row in shown.itertuples()}
    keys = sorted({key[:3] for key in cells}, key=lambda key: (place(key[0]), *key[1:]))
    rows = [
        [TITLES.get(measure, measure), space or "–", group or "all"]
        + [cells.get((measure, space, group, *owner), "–") for owner in sets]
        for measure, space, group in keys
    ]
    return Sheet(["measure", "space", "of", *(title(*owner) for owner in sets)], rows)


def by_finding(frame: pd.DataFrame) -> list[Sheet]:
    """Agreement per finding, if there is any: a row per set of images, then one per ceiling, which sets may share."""
    own = frame[(frame["measure"] == "auroc") & (frame["group"] != OVERALL["auroc"])]
    labels = sorted(set(own["group"]))
    rows, ceilings = [], {}
    for owner, part in own.groupby(["generator", "corpus"], sort=True):
        known = {row.group: row for row in part.itertuples()}
        found = [known.get(label) for label in labels]
        rows.append([title(*owner), *(_interval(row.value, row.low, row.high) if row else "–" for row in found)])
        ceiling = [_interval(row.reference, row.reference_low, row.reference_high) if row else "–" for row in found]
        ceilings.setdefault(tuple(ceiling), []).append(title(*owner))
    for ceiling, owners in ceilings.items():
        beside = f", beside {'; '.join(owners)}" if len(ceilings) > 1 else ""
        rows.append([f"held-out real images{beside}", *ceiling])
    return [Sheet(["images", *labels], rows, 1, FINDINGS_CAPTION)] if rows else []


def title(generator: str, corpus: str) -> str:
    """A set of synthetic images for people."""
    return f"{generator}, prompts of {corpus}"


def place(measure: str) -> int:
    """A measure's place in the table; unknown ones come last."""
    return list(TITLES).index(measure) if measure in TITLES else len(TITLES)


def number(value: float) -> str:
    """A measure to three digits."""
    return "–" if pd.isna(value) else f"{value:.3g}".replace("-", "−")


def as_markdown(made: Sheet) -> str:
    """A pipe table below its caption."""
    marks = ["---"] * made.labels + ["---:"] * (len(made.heads) - made.labels)
    lines = [markdown.escape(made.caption), "", markdown.row(map(markdown.escape, made.heads)), markdown.row(marks)]
    lines += [markdown.row(map(markdown.escape, row)) for row in made.rows]
    return "\n".join(lines) + "\n"


def as_latex(made: Sheet) -> str:
    """A table; needs \\usepackage{booktabs}."""
    body = [f"{' & '.join(map(_latex, row))} \\\\" for row in made.rows]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            f"\\caption{{{_latex(made.caption)}}}",
            f"\\begin{{tabular}}{{{'l' * made.labels}{'r' * (len(made.heads) - made.labels)}}}",
            r"\toprule",
            f"{' & '.join(map(_latex, made.heads))} \\\\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _latex(text: str) -> str:
    return tabulate.escape_latex(text).replace("∞", r"$_\infty$").replace("−", r"$-$")


def _cell(row: tuple) -> str:
    text = _interval(row.value, row.low, row.high)
    if not pd.isna(row.reference):
        text += f"; {'real' if row.reference_kind == 'real' else 'real ' + row.reference_kind} {number(row.reference)}"
    return f"{text}; n = {row.n}"


def _interval(value: float, low: float, high: float) -> str:
    return number(value) if pd.isna(low) else f"{number(value)} ({number(low)} to {number(high)})"


def _measures(path: Path) -> list[dict]:
    """The measures of a file as rows of `tables.QUALITY`. Raises JobError if it holds none."""
    try:
        value = files.read_json(path)
        rows = value["measures"]
        wanted = set(tables.QUALITY.columns) - {"generator", "corpus"}
        wrong = [row for row in rows if set(row) != wanted]
    except (ValueError, KeyError, TypeError) as error:
        raise job.JobError(f"{path}: holds no measures ({error})") from error
    if wrong:
        raise job.JobError(f"{path}: a measure has other entries than {', '.join(sorted(wanted))}")
    return rows
