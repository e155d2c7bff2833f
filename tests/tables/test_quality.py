"""The table and the figure of the quality of synthetic images, and their section of the page."""

import pandas as pd
import pytest

from synvlp import job
from synvlp.store import files, tables
from synvlp.tables import markdown, page, quality, quality_figure

SETS = (("vae", "phantom"), ("diffusion", "phantom"), ("diffusion", "marked_phantom"))


def row(measure, value, space="", group="", reference=0.5, kind="floor"):
    found = {"measure": measure, "space": space, "group": group, "value": value, "low": value - 0.1}
    found |= {"high": value + 0.1, "n": 30, "reference_kind": kind, "reference": reference}
    return found | {"reference_low": reference - 0.05, "reference_high": reference + 0.05, "reference_n": 30}


def rows_of(place):
    spaces = ("random", "real")
    return {
        "fidelity": [row(name, 1.5 + place, space) for name in ("fid", "kid", "precision") for space in spaces]
        + [row("fid_infinity", 1.2, "real") | {"low": None, "high": None, "reference": None}],
        "memorization": [row("nearer_train", 0.5 + place / 9, "real", "training prompts")],
        "diversity": [row("ms_ssim", 0.4, group="images of one prompt", kind="real")],
        "agreement": [
            row("auroc", 0.7, group=label, kind="ceiling") for label in ("mean of findings", "effusion", "nodule")
        ],
    }


def tabulated(folder, change=lambda kind, value: value):
    given = {kind: [] for kind in quality.KINDS}
    for place, (generator, corpus) in enumerate(SETS):
        for kind, rows in rows_of(place).items():
            path = folder / generator / corpus / f"{kind}.json"
            files.write_json(path, change(kind, {"counts": {}, "measures": rows, "notes": []}))
            given[kind].append(path)
    names = {"quality": "quality.parquet", "csv": "quality.csv", "markdown": "quality.md", "latex": "quality.tex"}
    outputs = quality.Outputs(**{name: folder / file for name, file in names.items()})
    generators, corpora = zip(*SETS, strict=True)
    quality.run(quality.Settings(generators=generators, corpora=corpora), quality.Inputs(**given), outputs)
    return outputs


def test_the_table_holds_every_measure_of_every_set(tmp_path):
    outputs = tabulated(tmp_path)
    frame = tables.read(outputs.quality, tables.QUALITY)
    assert len(frame) == 3 * 12 and len(pd.read_csv(outputs.csv)) == 36
    shown = markdown.read(outputs.markdown.read_text())
    columns = ["diffusion, prompts of marked_phantom", "diffusion, prompts of phantom", "vae, prompts of phantom"]
    assert shown.heads == ["measure", "space", "of", *columns]
    cells = {tuple(cell for cell, _ in line[:3]): [cell for cell, _ in line[3:]] for line in shown.rows}
    assert list(cells)[:3] == [("FID", "random", "all"), ("FID", "real", "all"), ("FID∞", "real", "all")]
    assert cells["FID", "real", "all"][2] == "1.5 (1.4 to 1.6); real floor 0.5; n = 30"
    assert cells["FID∞", "real", "all"] == ["1.2; n = 30"] * 3
    assert cells["MS-SSIM", "–", "images of one prompt"][0] == "0.4 (0.3 to 0.5); real 0.5; n = 30"
    assert ("AUROC of findings", "–", "effusion") not in cells
    assert "shows that images are private" in shown.caption
    latex = outputs.latex.read_text()
    assert latex.count(r"\\") == 1 + len(shown.rows) + 1 + 4 and r"marked\_phantom" in latex and "∞" not in latex


def lines_of(pipes):
    return [[cell for cell, _ in line] for line in pipes.rows]


def test_a_second_table_holds_every_finding_beside_its_ceiling(tmp_path):
    _, pipes = markdown.read_all(tabulated(tmp_path).markdown.read_text())
    assert pipes.heads == ["images", "effusion", "nodule"]
    columns = ["diffusion, prompts of marked_phantom", "diffusion, prompts of phantom", "vae, prompts of phantom"]
    values = [[column, *["0.7 (0.6 to 0.8)"] * 2] for column in columns]
    assert lines_of(pipes) == [*values, ["held-out real images", *["0.5 (0.45 to 0.55)"] * 2]]
    assert "ceiling" in pipes.caption


def test_sets_with_other_ceilings_have_rows_of_their_own():
    rows = [
        row("auroc", 0.8, group="effusion", reference=0.9) | {"generator": "vae", "corpus": "a"},
        row("auroc", 0.7, group="nodule", reference=0.6) | {"generator": "vae", "corpus": "b"},
    ]
    (made,) = quality.by_finding(pd.DataFrame(rows))
    assert made.rows == [
        ["vae, prompts of a", "0.8 (0.7 to 0.9)", "–"],
        ["vae, prompts of b", "–", "0.7 (0.6 to 0.8)"],
        ["held-out real images, beside vae, prompts of a", "0.9 (0.85 to 0.95)", "–"],
        ["held-out real images, beside vae, prompts of b", "–", "0.6 (0.55 to 0.65)"],
    ]
    assert quality.by_finding(pd.DataFrame([row("fid", 1.0) | {"generator": "vae", "corpus": "a"}])) == []


def test_files_without_measures_are_refused(tmp_path):
    with pytest.raises(job.JobError, match=r"fidelity.json: holds no measures"):
        tabulated(tmp_path, lambda kind, value: {"counts": {}} if kind == "fidelity" else value)
    with pytest.raises(job.JobError, match="other entries than"):
        tabulated(tmp_path, lambda kind, value: value | {"measures": [{"measure": "fid"}]})


def test_lists_must_fit_the_files(tmp_path):
    outputs = tabulated(tmp_path)
    paths = {key: [tmp_path / "vae/phantom/fidelity.json"] for key in quality.KINDS}
    with pytest.raises(job.JobError, match="generators has 0 entries for 1 files in fidelity"):
        quality.run(quality.Settings(), quality.Inputs(**paths), outputs)


def test_the_figure_has_a_panel_per_measure_and_is_the_same_again(tmp_path):
    made = tabulated(tmp_path)
    frame = tables.read(made.quality, tables.QUALITY)
    titles = [title for title, _ in quality_figure.panels(frame)]
    assert titles[:5] == ["FID, space random", "FID, space real", "KID, space random", "KID, space real", "precision"]
    assert len(titles) == 8
    drawn = []
    for name in ("one", "two"):
        outputs = quality_figure.Outputs(png=tmp_path / f"{name}.png", svg=tmp_path / f"{name}.svg")
        quality_figure.run(quality_figure.Settings(dpi=50), quality_figure.Inputs(quality=made.quality), outputs)
        drawn.append((outputs.png.read_bytes(), outputs.svg.read_bytes()))
    assert drawn[0] == drawn[1] and drawn[0][0][:4] == b"\x89PNG"


def test_a_figure_of_nothing_is_refused(tmp_path):
    path = tmp_path / "quality.parquet"
    tables.write(pd.DataFrame(columns=list(tables.QUALITY.columns)), path, tables.QUALITY)
    outputs = quality_figure.Outputs(png=tmp_path / "a.png", svg=tmp_path / "a.svg")
    with pytest.raises(job.JobError, match="holds no measure"):
        quality_figure.run(quality_figure.Settings(), quality_figure.Inputs(quality=path), outputs)


def test_the_page_says_what_the_figures_do_not_show(tmp_path):
    made = tabulated(tmp_path)
    figure = tmp_path / "quality.png"
    quality_figure.run(
        quality_figure.Settings(dpi=50),
        quality_figure.Inputs(quality=made.quality),
        quality_figure.Outputs(png=figure, svg=tmp_path / "quality.svg"),
    )
    outputs = page.Outputs(page=tmp_path / "index.html")
    page.run(page.Settings(), page.Inputs(quality_table=made.markdown, quality_figure=figure), outputs)
    text = outputs.page.read_text()
    assert '<a href="#quality">' in text and "no proof of privacy" in text
    assert "1.5 (1.4 to 1.6); real floor 0.5; n = 30" in text and "data:image/png;base64," in text
    assert "Findings one by one" in text and "0.7 (0.6 to 0.8)" in text and "nodule" in text
    page.run(page.Settings(), page.Inputs(), outputs)
    assert "quality" not in outputs.page.read_text()
