import base64
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synvlp import job
from synvlp.store import files, tables
from synvlp.tables import figure, findings, grids, markdown, page

NASTY = "<b>&_%$x$"


def comparison(tmp_path, values, dataset="chest", margin=0.02):
    """A comparison table from {(method, source): value} with intervals ±0.01, and its differences to real."""
    rows = []
    for fraction in (0.1, 1.0):
        for (method, source), value in values.items():
            rows.append((fraction, method, source, "", "", value, ""))
            if source not in ("none", "real") and (method, "real") in values:
                difference = value - values[method, "real"]
                verdict = "equivalent" if abs(difference) < 0.005 else "superior" if difference > 0 else "inferior"
                rows.append((fraction, method, source, method, "real", difference, verdict))
            if source != "none" and ("random", "none") in values:
                rows.append((fraction, method, source, "random", "none", value - values["random", "none"], "superior"))
    names = ["fraction", "method", "source", "reference_method", "reference_source", "value", "verdict"]
    frame = pd.DataFrame(rows, columns=names).assign(
        task="classification", dataset=dataset, metric="auroc", spread=np.nan, runs=2, reference_runs=2,
        studies=200, patients=130, resamples=1000, margin=margin, share=0.01, adjusted=0.02,
    )  # fmt: skip
    for name, shift in (("low", -0.01), ("high", 0.01), ("low90", -0.008), ("high90", 0.008)):
        frame[name] = frame["value"] + shift
    path = tmp_path / "comparison.parquet"
    tables.write(frame, path, tables.COMPARISON)
    return path


VALUES = {
    ("random", "none"): 0.6,
    ("convirt", "real"): 0.80,
    ("convirt", "synthetic"): 0.78,
    ("convirt", "mixed"): 0.803,
    ("mgca", "real"): 0.82,
    ("mgca", "synthetic"): 0.817,
    ("mgca", "mixed"): 0.85,
}


def test_sentences_say_what_the_intervals_say(tmp_path):
    frame = tables.read(comparison(tmp_path, VALUES), tables.COMPARISON)
    asked = findings.question(frame, "real")
    assert "ConVIRT and MGCA were pre-trained on real, synthetic and mixed pairs" in asked
    assert "beside random weights" in asked
    assert "on 1 data set, with 10 % and 100 % of the training labels" in asked
    ((title, (synthetic, mixed, control)),) = findings.answers(frame)
    assert title == "Classification, chest (AUROC, 200 test studies of 130 patients)"
    assert (
        "synthetic − real: with 10 % of the labels the 95 % interval contains 0 for 1 of 2 methods (MGCA) and "
        in synthetic
    )
    assert "lies below 0 for 1 of 2 methods (ConVIRT)" in synthetic
    assert synthetic.endswith("range from −0.020 to −0.003; equivalence within ±0.02 is shown in 2 of the 4.")
    assert "lies above 0 for 1 of 2 methods (MGCA)" in mixed
    assert "lies above 0 for 12 of 12 combinations of encoder and label fraction" in control
    assert "mean of 2 runs" in findings.caveats(frame)


def test_many_sources_are_named_together(tmp_path):
    more = {("convirt", "half"): 0.75, ("convirt", "double"): 0.795}
    frame = tables.read(comparison(tmp_path, VALUES | more), tables.COMPARISON)
    ((_, (first, second, control)),) = findings.answers(frame)
    assert first.startswith(
        "With 10 % of the labels, the 95 % interval of the difference to real contains 0 for ConVIRT on mixed and "
        "double, and for MGCA on synthetic; it lies below 0 for ConVIRT on synthetic and half; it lies above 0 for "
        "MGCA on mixed. Differences range from −0.050 to +0.030; "
    )
    assert second.startswith("With 100 % of the labels, ") and control.startswith("Pre-trained − random weights: ")


def test_several_data_sets_have_a_summary(tmp_path):
    frames = [tables.read(comparison(tmp_path, VALUES, name), tables.COMPARISON) for name in ("a", "b")]
    (title, sentences), *others = findings.answers(pd.concat(frames))
    assert title == "In short"
    assert len(others) == 2
    assert sentences[0].startswith("synthetic − real, over 8 comparisons (data sets × methods × label fractions): ")
    assert "contains 0 in 4, lies below 0 in 4 and lies above 0 in 0" in sentences[0]
    assert "8 differ from 0 after Holm's adjustment; equivalence within ±0.02 is shown in 4 of the 8" in sentences[0]


def test_nothing_is_claimed_without_a_reference(tmp_path):
    frame = tables.read(comparison(tmp_path, {("mgca", "synthetic"): 0.8}), tables.COMPARISON)
    assert findings.answers(frame) == []
    assert "compared with" not in findings.question(frame, "real")


def drawn_lines(panel):
    """The x values of what is drawn in a panel, rounded, each as a tuple."""
    return {tuple(np.round(line.get_xdata(), 6)) for line in panel.get_lines()}


def test_figure_draws_every_value_with_its_interval(tmp_path):
    frame = tables.read(comparison(tmp_path, VALUES), tables.COMPARISON)
    made = figure.draw(frame[frame["reference_method"] == ""], "random")
    assert len(made.axes) == 2
    for panel in made.axes:
        lines = drawn_lines(panel)
        for value in VALUES.values():
            assert (value,) in lines
            assert (round(value - 0.01, 6), round(value + 0.01, 6)) in lines
        assert (0.6, 0.6) in lines  # the baseline goes through the panel
    labels = [label.get_text() for label in made.axes[0].get_yticklabels()]
    assert labels == ["random weights", "ConVIRT", "real", "synthetic", "mixed", "MGCA", "real", "synthetic", "mixed"]


def draw(path, folder):
    outputs = figure.Outputs(png=folder / "a.png", svg=folder / "a.svg")
    figure.run(figure.Settings(task="classification", dpi=80), figure.Inputs(comparison=path), outputs)
    return outputs.png.read_bytes(), outputs.svg.read_bytes()


def test_figure_files_are_equal_on_reruns_and_name_no_time(tmp_path):
    path = comparison(tmp_path, VALUES, NASTY)
    png, svg = draw(path, tmp_path)
    assert draw(path, tmp_path) == (png, svg)
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == round(figure.WIDTH * 80)
        pixels = np.asarray(image.convert("RGB"))
    assert (pixels[0] == 255).all()
    for colour in ((0x00, 0x72, 0xB2), (0xC7, 0x50, 0x00), (0x00, 0x80, 0x5D)):
        assert (pixels == colour).all(axis=-1).any()
    assert b"dc:date" not in svg
    assert b"<text" not in svg


def test_figure_of_a_task_without_values_is_an_error(tmp_path):
    path = comparison(tmp_path, VALUES)
    outputs = figure.Outputs(png=tmp_path / "a.png", svg=tmp_path / "a.svg")
    with pytest.raises(job.JobError, match="holds no map of detection"):
        figure.run(figure.Settings(task="detection"), figure.Inputs(comparison=path), outputs)


@pytest.mark.parametrize("text", ["plain", NASTY, "a|b | c", "**x**", "\\", "a_b*c`d", "1 < 2 & 3 > 2", "&lt;"])
def test_markdown_round_trip(text):
    table = "\n".join(
        ["Caption", "", markdown.row(["h", "i"]), "| --- | --- |", markdown.row([markdown.escape(text), "**1**"])]
    )
    pipes = markdown.read(table)
    assert pipes.rows == [[(text, False), ("1", True)]]
    assert pipes.heads == ["h", "i"]


def test_grid_of_nested_heads():
    heads = ["method", "a · AUROC · 10 %", "a · AUROC · 100 %", "b · AUROC · 10 %"]
    grid = grids.of_pipes(markdown.Pipes("", heads, [[("x", False)] * 4]))
    assert [[(cell.text, cell.width) for cell in line] for line in grid.heads] == [
        [("", 1), ("a", 2), ("b", 1)],
        [("", 1), ("AUROC", 2), ("AUROC", 1)],
        [("method", 1), ("10 %", 1), ("100 %", 1), ("10 %", 1)],
    ]
    assert grid.labels == 1


def test_grids_of_json():
    value = {"reports": 1200, "by_category": {"date": {"recall": 0.98765}, "name": {"recall": 1.0, "found": 3}}}
    plain, nested = grids.of_json(value)
    assert [[cell.text for cell in row] for row in plain.rows] == [["reports", "1 200"]]
    assert [cell.text for cell in nested.heads[0]] == ["", "recall", "found"]
    assert [[cell.text for cell in row] for row in nested.rows] == [["date", "0.9877", ""], ["name", "1", "3"]]


def claims(present, absent, excluded=(0, 0)):
    """What an extraction's measures hold of a label, from (said, right, true) of present and absent."""
    named = {"present": present, "absent": absent, "excluded": excluded, "uncertain": (1, 0)}
    return {status: dict(zip(("said", "right", "true"), counts, strict=False)) for status, counts in named.items()}


EXTRACTION = {
    "reports": 1200,
    "labels": {"effusion": claims((3, 2, 4), (2, 2, 5), (4, 2)), "cyst": claims((0, 0, 0), (5, 5, 9))},
    "overall": claims((3, 2, 4), (7, 7, 14), (4, 2)),
    "concepts": {"effusion": "pleural effusion", "cyst": "cyst"},
}


def test_grid_of_an_extraction():
    grid = grids.of_extraction(EXTRACTION)
    assert grid.title == "1 200 reports with labels"
    assert [(cell.text, cell.width) for cell in grid.heads[0]] == [("", 1), ("present", 4), ("absent", 4)]
    assert [cell.text for cell in grid.heads[1]] == ["finding", *["said", "precision", "true", "recall"] * 2]
    assert [[cell.text for cell in row] for row in grid.rows] == [
        ["cyst", "0", "–", "0", "–", "5", "1.0000", "9", "0.5556"],
        ["pleural effusion", "3", "0.6667", "4", "0.5000", "6", "0.6667", "5", "0.8000"],
        ["overall", "3", "0.6667", "4", "0.5000", "11", "0.8182", "14", "0.6429"],
    ]
    assert [row[0].note for row in grid.rows] == ["", "label effusion", ""]


class Parsed(HTMLParser):
    """Tags and links of a page; fails on tags that do not match."""

    VOID = {"meta", "img", "link", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.tags, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def study(tmp_path):
    """Inputs and settings of a whole page, with awkward names."""
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "x.png")
    table = markdown.row([markdown.escape(NASTY), "**0.900**"])
    files.write_text(tmp_path / "classification.md", f"A caption.\n\n| method | value |\n| --- | --- |\n{table}\n")
    files.write_json(tmp_path / "audit.json", {"reports": 3, "categories": {NASTY: {"found": 1}}})
    files.write_text(tmp_path / "rejected.csv", "item,file,reason\na,x,box 3 is out\nb,x,box 4.5 is out\nc,x,<i>\n")
    files.write_text(tmp_path / "none.csv", "item,file,reason\n")
    files.write_text(tmp_path / "config.yaml", f"study: {NASTY}\n")
    files.write_json(tmp_path / "extraction.json", EXTRACTION)
    picture, audit = tmp_path / "x.png", tmp_path / "audit.json"
    inputs = {
        "comparison": comparison(tmp_path, VALUES, NASTY),
        "tables": [tmp_path / "classification.md"],
        "figures": [picture],
        "pictures": [picture, picture],
        "examples": [picture, picture],
        "audits": [audit],
        "measures": [audit],
        "extractions": [tmp_path / "extraction.json"],
        "screenings": [audit],
        "rejected": [tmp_path / "rejected.csv", tmp_path / "none.csv"],
        "config": tmp_path / "config.yaml",
    }
    titles = {"picture_titles": [NASTY, "two"], "audit_titles": ["one"], "measure_titles": ["one"]}
    titles |= {"extraction_titles": [NASTY], "screening_titles": ["one"], "rejected_titles": ["corpus", "reports"]}
    titles |= {"example_tasks": ["detection"] * 2, "example_datasets": [NASTY] * 2}
    titles |= {"example_methods": ["mgca", NASTY], "example_sources": [NASTY, "real"]}
    return inputs, {"study": NASTY, "command": "make <demo>", **titles}


def write(inputs, settings, folder):
    outputs = page.Outputs(page=folder / "index.html")
    page.run(page.Settings(**settings), page.Inputs(**inputs), outputs)
    return outputs.page.read_text(encoding="utf-8")


def test_page_holds_everything_and_asks_for_nothing(study, tmp_path):
    text = write(*study, tmp_path)
    parsed = Parsed(text)
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in parsed.links)
    assert "url(" not in text
    assert "script" not in parsed.tags
    anchors = [link[1:] for link in parsed.links if link.startswith("#")]
    assert len(anchors) == 11
    assert all(f'<section id="{anchor}">' in text for anchor in anchors)
    picture = next(link for link in parsed.links if link.startswith("data:"))
    assert base64.b64decode(picture.partition(",")[2]) == (tmp_path / "x.png").read_bytes()
    assert "inferior" in parsed.text
    assert "box … is out (2); <i> (1)" in parsed.text
    assert "make <demo>" in parsed.text


def test_names_on_the_page_are_escaped(study, tmp_path):
    text = write(*study, tmp_path)
    assert "<b>&" not in text
    assert "<i>" not in text
    parsed = Parsed(text)
    assert parsed.text.count(NASTY) > 10
    assert "i" not in parsed.tags


def test_page_reruns_give_the_same_bytes(study, tmp_path):
    assert write(*study, tmp_path) == write(*study, tmp_path)


def test_missing_parts_are_left_out(tmp_path):
    text = write({}, {}, tmp_path)
    assert "<section" not in text
    assert Parsed(text).links == []
    text = write({"comparison": comparison(tmp_path, VALUES)}, {}, tmp_path)
    assert set(Parsed(text).links) == {"#findings", "#comparison"}


def test_a_baseline_stands_beside_every_method(tmp_path):
    frame = tables.read(comparison(tmp_path, VALUES), tables.COMPARISON)
    ((title, grid, others),) = grids.of_comparison(frame)
    assert (title, others) == ("Classification", [])
    heads = [cell.text for cell in grid.heads[0]]
    sources = ["real", "synthetic", "mixed", "synthetic − real", "mixed − real"]
    assert heads == ["data set", "labels", "method", "random weights", *sources]
    assert {len(row) for row in grid.rows} == {9}
    texts = [[cell.text for cell in row[:4]] for row in grid.rows]
    assert texts == [["chest", share, name, "0.600"] for share in ("10 %", "100 %") for name in ("ConVIRT", "MGCA")]
    assert [(cell.text, cell.note, cell.verdict) for cell in grid.rows[0][6:]] == [
        ("0.803", "0.793 to 0.813", ""),
        ("−0.020", "−0.030 to −0.010", "inferior"),
        ("+0.003", "−0.007 to +0.013", "equivalent"),
    ]


def test_a_baseline_alone_has_a_row(tmp_path):
    frame = tables.read(comparison(tmp_path, {("random", "none"): 0.6, ("imagenet", "none"): 0.7}), tables.COMPARISON)
    ((_, grid, _),) = grids.of_comparison(frame[frame["fraction"] == 1])
    assert [cell.text for cell in grid.heads[0]] == ["data set", "labels", "method", "random weights", "ImageNet"]
    assert [[cell.text for cell in row] for row in grid.rows] == [["chest", "100 %", "", "0.600", "0.700"]]


def test_examples_are_grouped_by_data_set_with_pre_trained_methods_first(study, tmp_path):
    inputs, _ = study
    runs = [("random", "none"), ("mgca", "real"), ("convirt", "mixed"), ("convirt", "real"), ("convirt", "extra")]
    runs = [(task, f"{task} set", *run) for task in ("detection", "segmentation") for run in runs]
    lists = dict(zip(("tasks", "datasets", "methods", "sources"), map(list, zip(*runs, strict=True)), strict=True))
    examples = {f"example_{name}": values for name, values in lists.items()}
    made = page.examples(page.Settings(**examples), inputs["pictures"][:1] * len(runs))
    assert [title for title, _, _ in made] == ["Segmentation: segmentation set", "Detection: detection set"]
    for _, (name, shown), others in made:
        assert name == "ConVIRT"
        assert [title for title, _ in shown] == ["ConVIRT, real", "ConVIRT, mixed", "ConVIRT, extra"]
        assert [(name, [title for title, _ in pictures]) for name, pictures in others] == [
            ("MGCA", ["MGCA, real"]),
            ("random weights", ["random weights"]),
        ]
    with pytest.raises(job.JobError, match="example_tasks has 10 entries for 9 files in examples"):
        page.examples(page.Settings(**examples), inputs["pictures"][:1] * 9)


@pytest.mark.parametrize(
    ("part", "name", "content", "message"),
    [
        ("tables", "a.md", "no table", r"a\.md: not a table in Markdown"),
        ("figures", "a.gif", "GIF", r"a\.gif: a picture should be one of \.png, \.svg"),
        ("audits", "a.json", "{", r"a\.json: not readable as JSON"),
        ("extractions", "a.json", "{", r"a\.json: not the measures of an extraction"),
        ("extractions", "a.json", '{"reports": 3}', r"a\.json: not the measures of an extraction"),
        ("extractions", "a.json", "[]", r"a\.json: not the measures of an extraction"),
        ("rejected", "a.csv", "item,file\n", r"a\.csv: not a list of rejected input"),
        ("rejected", "a.csv", "", r"a\.csv: not a list of rejected input"),
        ("comparison", "a.parquet", "x", r"a\.parquet: not a readable Parquet table"),
    ],
)
def test_wrong_files_are_named(tmp_path, part, name, content, message):
    path = tmp_path / name
    files.write_text(path, content)
    titles = {f"{part.rstrip('s')}_titles": ["x"]} if part in ("audits", "extractions", "rejected") else {}
    with pytest.raises(job.JobError, match=message):
        write({part: path if part == "comparison" else [path]}, titles, tmp_path)


def test_titles_must_fit_the_files(study, tmp_path):
    inputs, settings = study
    with pytest.raises(job.JobError, match="picture_titles has 1 entries for 2 files in pictures"):
        write(inputs, settings | {"picture_titles": ["one"]}, tmp_path)


def test_an_empty_comparison_is_left_out(tmp_path):
    path = comparison(tmp_path, VALUES)
    tables.write(tables.read(path, tables.COMPARISON)[:0], path, tables.COMPARISON)
    assert "<section" not in write({"comparison": path}, {}, tmp_path)
