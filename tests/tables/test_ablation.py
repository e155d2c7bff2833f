import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from synvlp import job
from synvlp.store import tables
from synvlp.tables import ablation, comparison, figure, markdown, names, page

SOURCES = {"real": 1.4, "synthetic": 1.0, "synthetic-vae": 0.7, "synthetic-gan": 1.05}
MEMBERS = ["synthetic", "synthetic-vae", "synthetic-gan"]


def predictions(signal, noise):
    targets = np.random.default_rng(0).integers(0, 2, (80, 2))
    own = signal * targets + np.random.default_rng(noise).normal(0, 1, targets.shape)
    rows = [
        (1.0, 0, f"s{i:03}", f"p{i // 2:03}", label, targets[i, j], own[i, j])
        for i in range(80)
        for j, label in enumerate("ab")
    ]
    return pd.DataFrame(rows, columns=list(tables.CLASSIFICATION.columns))


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Comparisons of four sources of two methods, without ablations and with one, and all predictions."""
    folder = tmp_path_factory.mktemp("ablation")
    runs = [(method, source) for method in ("convirt", "mgca") for source in SOURCES] + [("random", "none")]
    frames = {run: predictions(SOURCES.get(run[1], 0.1), number) for number, run in enumerate(runs)}
    paths = []
    for number, frame in enumerate(frames.values()):
        paths.append(folder / f"{number}.parquet")
        tables.write(frame, paths[-1], tables.CLASSIFICATION)
    lists = {"tasks": ["classification"] * 9, "datasets": ["chest"] * 9, "encoder_seeds": [0] * 9}
    lists |= {"methods": [method for method, _ in runs], "sources": [source for _, source in runs]}
    for name, more in (
        ("plain", {}),
        ("grouped", {"compared": MEMBERS[1:], "compared_with": ["synthetic"] * 2}),
    ):
        outputs = comparison.Outputs(
            comparison=folder / f"{name}.parquet", csv=folder / f"{name}.csv", markdown=folder / f"{name}.md"
        )
        settings = comparison.Settings(**lists, **more, resamples=400)
        comparison.run(settings, comparison.Inputs(predictions=paths), outputs)
    return folder, frames, lists, paths


def differences(folder, name):
    frame = tables.read(folder / f"{name}.parquet", tables.COMPARISON)
    return frame[frame.reference_method != ""].reset_index(drop=True)


def test_groups_add_comparisons_and_change_no_other(compared):
    folder, *_ = compared
    plain, grouped = differences(folder, "plain"), differences(folder, "grouped")
    added = grouped.reference_source == "synthetic"
    assert sorted(zip(grouped[added].method, grouped[added].source, strict=True)) == [
        (method, source) for method in ("convirt", "mgca") for source in ("synthetic-gan", "synthetic-vae")
    ]
    pd.testing.assert_frame_equal(grouped[~added].reset_index(drop=True), plain)
    assert "minus synthetic of the same method" in (folder / "grouped.md").read_text()
    first, second = ((folder / f"{name}.md").read_text().count("\n## ") for name in ("plain", "grouped"))
    assert second == first + 1


def test_a_difference_is_that_of_a_plain_paired_bootstrap(compared):
    folder, frames, *_ = compared
    grouped = differences(folder, "grouped").query("reference_source == 'synthetic'")
    row = grouped[(grouped.method == "convirt") & (grouped.source == "synthetic-vae")].iloc[0]
    sides = [frames["convirt", name] for name in ("synthetic-vae", "synthetic")]
    patients = sorted(set(sides[0].patient_id))
    own = [dict(list(frame.groupby("patient_id"))) for frame in sides]

    def difference(drawn):
        found = []
        for rows_of in own:
            parts = pd.concat([rows_of[patient] for patient in drawn])
            found.append(np.mean([roc_auc_score(part.target, part.score) for _, part in parts.groupby("label")]))
        return found[0] - found[1]

    assert row.value == pytest.approx(difference(patients))
    random = np.random.default_rng(1)
    drawn = [difference(random.choice(patients, len(patients))) for _ in range(100)]
    assert row.high - row.low == pytest.approx(np.ptp(np.quantile(drawn, [0.025, 0.975])), rel=0.35)
    # Holm among the four comparisons of ablations alone.
    smallest = grouped.sort_values("share").iloc[0]
    assert smallest.adjusted == pytest.approx(min(1, 4 * smallest.share))


def test_lists_of_different_length_are_refused(compared, tmp_path):
    _, _, lists, paths = compared
    outputs = comparison.Outputs(comparison=tmp_path / "a", csv=tmp_path / "b", markdown=tmp_path / "c")
    settings = comparison.Settings(**lists, compared=["synthetic-vae"], resamples=100)
    with pytest.raises(job.JobError, match="compared and compared_with must be equally long"):
        comparison.run(settings, comparison.Inputs(predictions=paths), outputs)


def drawn(folder, made, **settings):
    outputs = ablation.Outputs(**{name: made / f"a.{name}" for name in ("csv", "markdown", "png", "svg")})
    inputs = ablation.Inputs(comparison=folder / "grouped.parquet")
    ablation.run(ablation.Settings(**{"name": "generator", "members": MEMBERS, **settings}), inputs, outputs)
    return outputs


def test_the_table_holds_values_and_differences_to_the_first(compared, tmp_path):
    outputs = drawn(compared[0], tmp_path)
    frame = pd.read_csv(outputs.csv)
    assert len(frame) == 6
    first = frame[frame.source == "synthetic"]
    assert first.difference.isna().all() and first.verdict.isna().all()
    own = frame.set_index(["method", "source"])
    for method in ("convirt", "mgca"):
        gap = own.loc[(method, "synthetic-gan"), "value"] - own.loc[(method, "synthetic"), "value"]
        assert own.loc[(method, "synthetic-gan"), "difference"] == pytest.approx(gap, abs=2e-4)
    caption, grid = page.task_table(outputs.markdown)
    assert caption.startswith("Ablation generator: synthetic-vae, synthetic-gan against synthetic")
    pipes = markdown.read(outputs.markdown.read_text())
    assert pipes.heads[4:] == [*MEMBERS, "synthetic-vae − synthetic", "synthetic-gan − synthetic"]
    assert len(grid.rows) == 2
    with Image.open(outputs.png) as picture:
        assert picture.width == 1440
    again = tmp_path / "again"
    for one, other in zip(outputs.paths(), drawn(compared[0], again).paths(), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_sources_that_were_not_compared_are_refused(compared, tmp_path):
    with pytest.raises(job.JobError, match="holds no difference of real or synthetic to synthetic-vae"):
        drawn(compared[0], tmp_path, members=["synthetic-vae", "real", "synthetic"])
    with pytest.raises(job.JobError, match="at least two sources"):
        drawn(compared[0], tmp_path, members=["real"])


def test_the_page_keeps_to_the_reference(compared):
    folder, *_ = compared
    one, other = (page.compared(folder / f"{name}.parquet", "real") for name in ("plain", "grouped"))
    assert one == other


def test_many_sources_look_different_and_come_in_order_of_their_numbers():
    shares = [f"synthetic-{share}" for share in (25, 50, 100, 200)]
    many = sorted([*shares, "real", "synthetic", "mixed", *(f"other-{letter}" for letter in "abcdefgh")])
    looks = {(figure.colour(name, many), figure.marker(name, many)) for name in many}
    assert len(looks) == len(many)
    assert names.ordered(many, names.SOURCES)[:4] == ["real", "synthetic", "mixed", "other-a"]
    assert names.ordered(many, names.SOURCES)[-4:] == shares
