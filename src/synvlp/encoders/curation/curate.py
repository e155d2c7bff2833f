"""Decide from the judgements which pairs of a corpus are kept, and show those that are not.

A study goes if any reason that counts has a score above `limit`. Ids in `put_back` stay whatever the scores say, and
ids in `also_reject` go. Nothing is removed from any table: what follows reads the decision beside the pairs.
"""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import files, images, tables

PUT_BACK, ALSO_REJECTED = "put back", "also rejected"


class Settings(job.Settings):
    reasons: list[str] = job.setting(
        [
            "blank",
            "saturated",
            "inverted",
            "rotated",
            "tilted",
            "mirrored",
            "cropped",
            "noisy",
            "blurred",
            "overlaid",
            "foreign",
            "wrong-view",
            "unreadable",
            "unpaired",
            "duplicate",
            "leak",
        ],
        "reasons that reject a study",
    )
    limit: float = job.setting(1.0, "a study goes if a score is above this multiple of its judge's limit", gt=0)
    put_back: list[str] = job.setting([], "ids of studies that stay, whatever speaks against them")
    also_reject: list[str] = job.setting([], "ids of studies that go, whatever the scores")
    max_rejected: float = job.setting(0.5, "largest share of the studies that may be rejected", ge=0, le=1)
    shown: int = job.setting(32, "rejected images on the contact sheet, at most", unit="images", ge=1, le=400)
    columns: int = job.setting(8, "images in a row of it", ge=1, le=20)
    side: int = job.setting(128, "side of an image on it", unit="px", ge=32, le=1024)

    def check(self) -> None:
        """Whether no study is to stay and to go."""
        both = sorted(set(self.put_back) & set(self.also_reject))
        if both:
            raise job.Misfit("put_back", self.put_back, f"has {both[0]!r}, which also_reject has, too")


class Inputs(job.Files):
    judgements: list[Path] = job.file("judgements of images, of pairs, and duplicates (Parquet)")
    images: Path = job.file("the images that were judged (Parquet)")


class Outputs(job.Files):
    curated: Path = job.file("which studies are kept, and why others are not (Parquet)")
    rejected: Path = job.file("studies that are not, with reason and score (CSV)")
    sheet: Path = job.file("contact sheet of rejected images (PNG)")
    summary: Path = job.file("counts (JSON)")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Decide, list, draw. Raises JobError for an id or a reason that no judgement names."""
    judged = pd.concat([tables.read(path, tables.JUDGEMENTS) for path in inputs.judgements], ignore_index=True)
    _check(judged, settings, inputs)
    frame = decide(judged, settings)
    tables.write(frame, outputs.curated, tables.CURATED)
    gone = frame[~frame["kept"]].sort_values(["reason", "score", "study_id"], ascending=[True, False, True])
    listed = gone[["study_id", "split", "reason", "score", "detail"]].assign(also=gone["reasons"].map(_others))
    tables.write_csv(listed, outputs.rejected)
    _draw(gone, settings, inputs.images, outputs.sheet)
    files.write_json(outputs.summary, _summary(frame, settings))
    job.log.info("%d of %d studies kept", int(frame["kept"].sum()), len(frame))
    job.check_rejected(len(gone), len(frame), settings.max_rejected, outputs.rejected)


def decide(judged: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Rows of `tables.CURATED` from rows of `tables.JUDGEMENTS`."""
    named = judged.sort_values("study_id").drop_duplicates("study_id")[["study_id", "patient_id", "split"]]
    against = judged[judged["reason"].isin(settings.reasons) & (judged["score"] > settings.limit)]
    against = against.sort_values(["study_id", "score", "reason"], ascending=[True, False, True])
    found = {study: rows.to_dict("records") for study, rows in against.groupby("study_id")}
    rows = []
    for study in named.to_dict("records"):
        reasons = found.get(study["study_id"], [])
        worst = reasons[0] if reasons else {"reason": "", "score": math.nan, "detail": ""}
        kept, reason = not reasons, worst["reason"]
        if study["study_id"] in settings.put_back:
            kept, reason = True, PUT_BACK
        elif study["study_id"] in settings.also_reject:
            kept, reason = False, reason or ALSO_REJECTED
        rows.append(
            {
                **study,
                "kept": kept,
                "reason": reason,
                "score": worst["score"],
                "reasons": [one["reason"] for one in reasons],
                "detail": worst["detail"],
            }
        )
    return pd.DataFrame(rows, columns=list(tables.CURATED.columns))


def _check(judged: pd.DataFrame, settings: Settings, inputs: Inputs) -> None:
    known = set(Settings.model_fields["reasons"].default) | set(judged["reason"])
    unknown = [reason for reason in settings.reasons if reason not in known]
    if unknown:
        raise job.JobError(f"no judge gives the reason {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    studies = set(judged["study_id"])
    for name in ("put_back", "also_reject"):
        strange = [study for study in getattr(settings, name) if study not in studies]
        if strange:
            raise job.JobError(f"{name} names {strange[0]!r}, but {inputs.images} holds no such study")


def _others(reasons: list[str]) -> str:
    return " ".join(reasons[1:])


def _draw(gone: pd.DataFrame, settings: Settings, source: Path, path: Path) -> None:
    """Rejected images by reason, as many of each as fit, the highest scores first."""
    from synvlp.models import gallery

    ranked = gone.assign(place=gone.groupby("reason").cumcount())
    shown = ranked.sort_values(["place", "reason"], kind="stable").head(settings.shown)
    shown = shown.sort_values(["reason", "place"], kind="stable")
    pictures = tables.read(source, tables.IMAGES).set_index("study_id")["image"]
    cells = [
        gallery.Cell([_picture(pictures.get(row.study_id))], f"{row.reason} {_number(row.score)} · {row.study_id}")
        for row in shown.itertuples()
    ]
    title = (
        f"{len(shown)} of {len(gone)} rejected studies: reason, score (limit 1), study"
        if len(gone)
        else "No study was rejected"
    )
    picture = gallery.grid(cells, columns=settings.columns, side=settings.side, title=title, lines=3)
    with files.replacing(path) as part:
        picture.save(part, format="PNG")


def _picture(data: bytes | None) -> np.ndarray | None:
    try:
        return images.decode(data) if data is not None else None
    except ValueError:
        return None


def _number(score: float) -> str:
    return "" if math.isnan(score) else f"{score:.2f}"


def _summary(frame: pd.DataFrame, settings: Settings) -> dict:
    gone = frame[~frame["kept"]]
    return {
        "studies": len(frame),
        "kept": int(frame["kept"].sum()),
        "rejected": dict(sorted(Counter(gone["reason"]).items())),
        "rejected_by_split": dict(sorted(Counter(gone["split"]).items())),
        "put_back": int((frame["reason"] == PUT_BACK).sum()),
        "limit": settings.limit,
    }
