"""Read a collection of images with a manifest.csv: the layout of open-cxr, and the way in for one's own data.

Everything else lies beside the manifest: images and masks, which are named in it, the names of the masks' classes,
COCO files, and SHA256SUMS, which stands for the images and masks, since these are too many to be watched one by one.
The layout is described in docs/data.md. Each row that cannot be used is set aside with its reason, and the rest
goes on.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from synvlp import job
from synvlp.corpora import checks, coco, corpus
from synvlp.corpora.checks import Fit, Rejected, Row
from synvlp.store import images

REQUIRED = ("image_id", "patient_id", "file")
HINT = "the layout is described in docs/data.md"
CHECKSUMS = "SHA256SUMS"
# Column -> (annotation set, file that names its classes beside the manifest, the names where there is none).
MASKS: dict[str, tuple[str, str, dict[int, str]]] = {
    "lung_mask": ("lung_masks", "masks/lung_classes.json", {0: "background", 1: "right_lung", 2: "left_lung"}),
    "semantic_mask": ("semantic", "masks/semantic_classes.json", {}),
}

# The images and masks beside the manifest.
READS_UNDECLARED_FILES = True


class Settings(job.Settings):
    """Settings of a collection with a manifest."""

    image_size: int = job.setting(320, "long side of the stored images", unit="pixels", ge=32, le=2048)
    collection: str = job.setting("own", "name of the collection where neither a column nor an id's prefix gives one")
    text_kind: Literal["report", "note"] = job.setting("note", "what the texts are")
    leave_out_views: list[str] = job.setting(
        ["L", "LL", "Lateral"], "views to leave out; a frontal study has no use for them"
    )
    split_seed: int = job.setting(0, "seeds the split where the manifest has no column split", ge=0)
    max_rejected: float = job.setting(0.05, "share of rows that may be set aside before the run stops", ge=0, le=1)


class Inputs(job.Files):
    manifest: Path = job.file("manifest.csv; all other files of the collection lie in its folder")
    coco: list[Path] | None = job.optional_file("COCO files (JSON) of the collection, or none")
    classes: list[Path] | None = job.optional_file("names of the masks' classes (JSON) of the collection, or none")
    checksums: Path | None = job.optional_file("its SHA256SUMS, or none: images and masks are then not compared")


class Outputs(corpus.Outputs):
    """The corpus."""


@dataclass
class Reader:
    """The collection while it is read."""

    settings: Settings
    folder: Path
    checksums: dict[str, str]  # file -> SHA-256 in hexadecimal, as SHA256SUMS says
    corpus: corpus.Corpus
    identities: checks.Identities
    fits: dict[str, Fit]  # study id -> how its image lies in the stored one
    pictures: dict[str, tuple[str, str]]  # group of equal pictures -> first study, its split
    accepted: list[Row] = field(default_factory=list)
    files: dict[str, list[str]] = field(default_factory=dict)  # image file -> ids of the studies that show it
    aside: set[str] = field(default_factory=set)  # ids and image files of rows that were set aside
    marked: set[tuple[str, str]] = field(default_factory=set)  # annotation set, study id
    lost: int = 0  # rows that were set aside because something is wrong with them
    unlisted: int = 0  # files that SHA256SUMS does not list

    def read(self, file: str) -> bytes:
        """The content of an image or a mask. Raises Rejected if it is missing or a broken copy."""
        data = checks.beside(self.folder, file).read_bytes()
        expected = self.checksums.get(str(PurePosixPath(file.replace("\\", "/"))))
        self.unlisted += expected is None
        if expected and hashlib.sha256(data).hexdigest() != expected:
            raise Rejected(f"broken copy: its SHA-256 is not that of {CHECKSUMS}")
        return data


def beside(path: str) -> dict[str, list[str]]:
    """The inputs that lie beside a manifest, by name. Lists no folder of images, since these may hold very many."""
    folder = Path(path).parent
    classes = [folder / file for _, file, _ in MASKS.values()]
    found = {
        "coco": sorted((folder / "coco").glob("*.json")),
        "classes": [path for path in classes if path.is_file()],
        "checksums": [path for path in (folder / CHECKSUMS,) if path.is_file()],
    }
    return {name: [str(path) for path in paths] for name, paths in found.items()}


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    """Read the collection. Raises JobError if the manifest is unusable or too much was set aside."""
    folder = inputs.manifest.parent
    rows = checks.read_csv(inputs.manifest, REQUIRED, HINT)
    checksums = checks.read_checksums(inputs.checksums) if inputs.checksums else {}
    reader = Reader(settings, folder, checksums, corpus.Corpus(), checks.Identities(), {}, {})
    for row in job.progress(rows, "rows"):
        try:
            _read_row(reader, row)
        except Rejected as error:
            reader.corpus.reject(row.get("image_id") or f"line {row.line}", inputs.manifest.name, str(error))
            reader.lost += not str(error).startswith(corpus.UNWANTED)
            reader.aside |= {row.get("image_id"), row.get("file")} - {""}
    marked, spoilt = _read_masks(reader, inputs.classes or [])
    more, worse = _read_boxes(reader, inputs.coco or [])
    if checksums:
        job.log.info("%d files are not listed in %s", reader.unlisted, CHECKSUMS)
    reader.corpus.write(outputs)
    job.check_rejected(reader.lost, len(rows), settings.max_rejected, outputs.rejected)
    job.check_rejected(spoilt + worse, marked + more, settings.max_rejected, outputs.rejected)


def _read_row(reader: Reader, row: Row) -> None:
    """Add one row to the corpus. Raises Rejected."""
    if row.problem:
        raise Rejected(row.problem)
    study_id, patient_id = row.get("image_id"), row.get("patient_id")
    if not study_id or not patient_id:
        raise Rejected("missing id: image_id and patient_id must be filled")
    view, unwanted = row.get("view"), {name.lower() for name in reader.settings.leave_out_views}
    if view.lower() in unwanted:
        raise Rejected(f"{corpus.UNWANTED}: {view}")
    split = (
        checks.split_named(row.get("split"))
        if "split" in row.cells
        else corpus.split_of(reader.settings.split_seed, patient_id)
    )
    text = row.get("text").replace("\ufffd", " ").strip()
    if not row.get("file") and not text:
        raise Rejected("neither an image nor a text")
    fit, image, digest = _read_image(reader, row) if row.get("file") else (None, b"", "")
    group = _check_copies(reader, row, digest, split)
    reader.identities.check(study_id, patient_id, split)
    reader.pictures |= {name: (study_id, split) for name in group if name not in reader.pictures}
    reader.accepted.append(row)
    if fit:
        reader.fits[study_id] = fit
        reader.files.setdefault(row.get("file"), []).append(study_id)
    labels, labelled = checks.labels_of(row.get("labels"))
    study = {
        "study_id": study_id,
        "patient_id": patient_id,
        "collection": _collection(reader, row),
        "split": split,
        "view": view,
        "sex": {"f": "F", "m": "M"}.get(row.get("sex")[:1].lower(), ""),
        "age": _age(row.get("age")),
        "labels": labels,
        "labelled": labelled,
    }
    reader.corpus.add(study, text=text, kind=reader.settings.text_kind, image=image)


def _read_image(reader: Reader, row: Row) -> tuple[Fit, bytes, str]:
    """How the image lies in the stored one, the stored one (PNG), and a digest of the gray levels as read."""
    data = reader.read(row.get("file"))
    expected = row.get("sha256").lower()
    if expected and hashlib.sha256(data).hexdigest() != expected:
        raise Rejected("changed file: its SHA-256 is not the manifest's")
    pixels = checks.read_gray(data)
    fit = Fit(pixels.shape[1], pixels.shape[0], reader.settings.image_size)
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return fit, images.encode(fit.image(pixels)), digest


def _check_copies(reader: Reader, row: Row, digest: str, split: str) -> list[str]:
    """The groups of equal pictures a row belongs to. Raises Rejected if one of them is in another split."""
    groups = [f"group {row.get('dup_group')}"] if row.get("dup_group") else []
    groups += [f"pixels {digest}"] if digest else []
    for group in groups:
        first, there = reader.pictures.get(group, ("", split))
        if there != split:
            raise Rejected(f"copy in two splits: {split} here, {there} as {first}")
    return groups


def _collection(reader: Reader, row: Row) -> str:
    """The column `collection`, else the letters before the id's first underscore, else the setting."""
    prefix, found, _ = row.get("image_id").partition("_")
    return row.get("collection") or (prefix if found and prefix.isalpha() else reader.settings.collection)


def _age(cell: str) -> float:
    """Years; 90 for all ages over 89; NaN where it is none."""
    try:
        age = float(cell)
    except ValueError:
        return float("nan")
    return min(age, 90.0) if 0 <= age <= 125 else float("nan")


def _read_masks(reader: Reader, named: Iterable[Path]) -> tuple[int, int]:
    """Read the masks that the accepted rows name; returns how many there were and how many were set aside."""
    paths = {path.name: path for path in named}
    classes = {column: _classes(paths.get(Path(file).name), default) for column, (_, file, default) in MASKS.items()}
    total = lost = 0
    for row in reader.accepted:
        study_id = row.get("image_id")
        for column, (name, _, _) in MASKS.items():
            if not row.get(column):
                continue
            total += 1
            try:
                _read_mask(reader, study_id, name, row.get(column), classes[column])
            except Rejected as error:
                lost += 1
                reader.corpus.reject(study_id, row.get(column), str(error))
    return total, lost


def _classes(path: Path | None, default: dict[int, str]) -> dict[int, str]:
    if path is None:
        return default
    try:
        named = json.loads(path.read_bytes().decode("utf-8-sig"))
        classes = {int(number): str(name) for number, name in named.items()}
    except (ValueError, AttributeError) as error:
        raise job.JobError(f'{path} is not JSON of the form {{"0": "background", "1": "right_lung"}}') from error
    if nameless := [number for number, name in classes.items() if number and not name]:
        # In the corpus no name says that there is no object.
        raise job.JobError(f"{path}: class {nameless[0]} has no name")
    return classes


def _read_mask(reader: Reader, study_id: str, name: str, file: str, classes: dict[int, str]) -> None:
    """Add the objects of a mask, one of each class. Raises Rejected."""
    if study_id not in reader.fits:
        raise Rejected("mask without an image")
    reader.marked.add((name, study_id))
    numbers = checks.read_classes(reader.read(file))
    found = set(numbers.ravel().tolist()) - {0}
    if unknown := found - set(classes):
        raise Rejected(f"unknown class in mask: {min(unknown)}")
    if not found:
        raise Rejected("empty mask")
    fit = reader.fits[study_id]
    masks = [(classes[number], fit.mask(numbers == number)) for number in sorted(found)]
    for category, mask in masks:
        reader.corpus.mark(study_id, name, category, None, mask)


def _read_boxes(reader: Reader, paths: Iterable[Path]) -> tuple[int, int]:
    """Read the COCO files; returns how many images they mark and how many of these were set aside."""
    total = lost = absent = 0
    for path in paths:
        name, file = coco.set_name(path), f"coco/{path.name}"
        try:
            entries = list(coco.read(path))
        except Rejected as error:
            total, lost = total + 1, lost + 1
            reader.corpus.reject(name, file, str(error))
            continue
        for entry in entries:
            known = entry.image_id or entry.file_name
            studies = _studies_of(reader, entry)
            if not studies and known in reader.aside:
                absent += 1
                continue
            for study_id in studies or [""]:
                total += 1
                try:
                    _read_entry(reader, study_id, name, entry)
                except Rejected as error:
                    lost += 1
                    reader.corpus.reject(study_id or known or name, file, str(error))
    if absent:
        job.log.info("%d marked images belong to rows that were set aside", absent)
    return total, lost


def _studies_of(reader: Reader, entry: coco.Marked) -> list[str]:
    """The studies that an image of a COCO file belongs to, of accepted rows only: several may show one file."""
    if entry.image_id:
        return [entry.image_id] if entry.image_id in reader.fits else []
    return reader.files.get(entry.file_name, [])


def _read_entry(reader: Reader, study_id: str, name: str, entry: coco.Marked) -> None:
    """Add what a COCO file says about one image. One bad object loses the image for the set: half of the truth
    would count what is missing as absent."""
    if not study_id:
        raise Rejected("image not in the manifest")
    if (name, study_id) in reader.marked:
        raise Rejected(f"marked twice in set {name}")
    reader.marked.add((name, study_id))  # also if it is set aside: a second one would then be half of the truth
    if entry.problem:
        raise Rejected(entry.problem)
    fit = reader.fits[study_id]
    if (entry.width or fit.width, entry.height or fit.height) != (fit.width, fit.height):
        raise Rejected(f"image of another size: {entry.width} x {entry.height}, the file is {fit.width} x {fit.height}")
    objects = []
    for category, annotation in entry.objects:
        box, mask = coco.box_of(annotation), coco.mask_of(annotation, fit)
        if box is None and mask is None:
            raise Rejected("object without box and mask")
        objects.append((category, fit.box(box) if box else None, None if mask is None else fit.mask(mask)))
    for category, box, mask in objects or [("", None, None)]:
        reader.corpus.mark(study_id, name, category, box, mask)
