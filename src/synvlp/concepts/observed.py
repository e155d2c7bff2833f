"""The concepts of real reports, as sets: findings that are present, and anatomy that is named at all."""

from pathlib import Path

from synvlp.store import tables

ANATOMY = "anatomy"


def sets(mentions: Path, studies: Path, split: str = "train") -> dict[str, list[str]]:
    """Study id -> names of its report's concepts, findings first, each part in the order of the alphabet.

    Studies whose report names no concept are left out.

    Args:
        mentions: table of mentions (Parquet).
        studies: table of studies of the same corpus (Parquet).
        split: whose studies are read.
    """
    found = tables.read(mentions, tables.MENTIONS, ["study_id", "concept", "kind", "status"])
    known = tables.read(studies, tables.STUDIES, ["study_id", "split"])
    inside = found["study_id"].isin(set(known.loc[known["split"] == split, "study_id"]))
    anatomy = found["kind"] == ANATOMY
    kept = found[inside & (anatomy | (found["status"] == "present"))].assign(last=anatomy)
    kept = kept.drop_duplicates(["study_id", "concept"]).sort_values(["study_id", "last", "concept"])
    return {study_id: list(names) for study_id, names in kept.groupby("study_id", sort=True)["concept"]}
