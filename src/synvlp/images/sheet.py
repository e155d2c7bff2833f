"""Draw a contact sheet: real images beside synthetic ones of the same studies, with their prompts."""

from pathlib import Path
from typing import Literal

import pandas as pd

from synvlp import job
from synvlp.store import files, images, seeds, tables


class Settings(job.Settings):
    count: int = job.setting(12, "studies shown", unit="studies", ge=1, le=400)
    columns: int = job.setting(4, "studies in a row", ge=1, le=12)
    side: int = job.setting(160, "side of an image on the sheet", unit="pixels", ge=32, le=1024)
    split: Literal["train", "val", "test", "any"] = job.setting(
        "val", "split whose studies are shown; all splits where it has none"
    )
    seed: int = job.setting(0, "seeds the choice of studies", ge=0)


class Inputs(job.Files):
    images: Path = job.file("accepted synthetic images (Parquet)")
    prompts: Path = job.file("prompts of the corpus (Parquet)")
    real: Path | None = job.optional_file("images of the corpus (Parquet)")


class Outputs(job.Files):
    sheet: Path = job.file("the contact sheet (PNG)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Choose studies by a hash of their ids and draw them."""
    from synvlp.models import gallery

    synthetic = tables.read(inputs.images, tables.SHARD, ["study_id", "draw", "image", "prompt"])
    if synthetic.empty:
        raise job.JobError(f"{inputs.images} holds no image to show")
    synthetic = synthetic.sort_values(["study_id", "draw"]).drop_duplicates("study_id").set_index("study_id")
    real = _real(inputs.real)
    chosen = _choose(synthetic, set(real), inputs.prompts, settings)
    cells = []
    for study_id in chosen:
        pair = [images.decode(synthetic.at[study_id, "image"])]
        if real:
            pair.insert(0, images.decode(real[study_id]) if study_id in real else None)
        cells.append(gallery.Cell(pair, synthetic.at[study_id, "prompt"]))
    title = "Real and synthetic images of the same studies" if real else "Synthetic images"
    heads = ("real", "synthetic") if real else ()
    picture = gallery.grid(cells, columns=settings.columns, side=settings.side, title=title, heads=heads, lines=5)
    with files.replacing(outputs.sheet) as part:
        picture.save(part, format="PNG")
    job.log.info(
        "%d of %d studies shown, %d with a real image", len(chosen), len(synthetic), len(set(chosen) & set(real))
    )


def _real(path: Path | None) -> dict[str, bytes]:
    if path is None:
        return {}
    frame = tables.read(path, tables.IMAGES)
    return dict(zip(frame["study_id"], frame["image"], strict=True))


def _choose(synthetic: pd.DataFrame, real: set[str], prompts: Path, settings: Settings) -> list[str]:
    """Ids of the studies to show: of the split, if it has any; those with a real image first."""
    frame = tables.read(prompts, tables.PROMPTS, ["study_id", "split"])
    within = set(frame.loc[frame["split"] == settings.split, "study_id"])
    candidates = [study_id for study_id in synthetic.index if study_id in within] or list(synthetic.index)
    candidates.sort(key=lambda study_id: (study_id not in real, seeds.seed_of(settings.seed, "sheet", study_id)))
    return candidates[: settings.count]
