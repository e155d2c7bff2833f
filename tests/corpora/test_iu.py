"""The Indiana reports: sections, labels, every kind of broken input, and the real archive where it is."""

import io
import os
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from synvlp import job
from synvlp.corpora import iu
from synvlp.store import tables

FILES = ("studies.parquet", "reports.parquet", "images.parquet", "annotations.parquet", "rejected.csv")
COLLECTION = Path(os.environ.get("SYNVLP_OPEN_CXR", Path(__file__).parents[3] / "shared/data/open-cxr"))


def report(uid, findings="Clear lungs.", impression="No acute disease.", mesh=("normal",), extra=""):
    headings = "".join(f"<major>{heading}</major>" for heading in mesh)
    return f"""<?xml version="1.0" encoding="utf-8"?>{extra}
<eCitation><uId id="CXR{uid}"/><MedlineCitation><Article><Abstract>
  <AbstractText Label="COMPARISON"/>
  <AbstractText Label="FINDINGS">{findings}</AbstractText>
  <AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation><MeSH>{headings}</MeSH></eCitation>""".encode()


def pack(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(f"ecgen-radiology/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def read(archive, index=None, **settings):
    out = archive.parent / "out"
    outputs = iu.Outputs(**{file.partition(".")[0]: out / file for file in FILES})
    inputs = iu.Inputs(archive=archive, index=[index] if index else None)
    iu.run(iu.Settings(**({"max_rejected": 1.0} | settings)), inputs, outputs)
    studies = tables.read(outputs.studies, tables.STUDIES).set_index("study_id")
    reports = tables.read(outputs.reports, tables.REPORTS).set_index("study_id")["text"]
    rejected = pd.read_csv(outputs.rejected, dtype=str).set_index("item")["reason"]
    assert tables.read(outputs.images, tables.IMAGES).empty
    assert tables.read(outputs.annotations, tables.ANNOTATIONS).empty
    return studies, reports, rejected


def test_sections_become_text_with_headings(tmp_path):
    text = report(7, findings="Heart &lt; 0.5.\n   <b>Left</b> effusion.")
    studies, reports, _ = read(pack(tmp_path / "a.tgz", {"7.xml": text, "readme.txt": b"no report"}))
    assert reports.to_dict() == {"iu_7": "FINDINGS: Heart < 0.5. Left effusion.\n\nIMPRESSION: No acute disease."}
    row = studies.loc["iu_7"]
    assert (row["patient_id"], row["collection"], row["has_image"], row["text_kind"]) == ("iu_7", "iu", False, "report")


def test_labels_from_mesh_headings(tmp_path):
    archive = pack(
        tmp_path / "a.tgz",
        {
            "1.xml": report(1),
            "2.xml": report(2, mesh=("Opacity/lung/base/left", "Opacity/lung/apex", "Cardiomegaly/mild")),
            "3.xml": report(3, mesh=("No Indexing",)),
            "4.xml": report(4, mesh=()),
        },
    )
    studies, _, _ = read(archive)
    assert [list(labels) for labels in studies["labels"]] == [[], ["Opacity", "Cardiomegaly"], [], []]
    assert studies["labelled"].tolist() == [True, True, False, False]
    assert set(studies["split"]) <= {"train", "val", "test"}


def test_the_index_gives_splits_and_labels(tmp_path):
    archive = pack(tmp_path / "a.tgz", {f"{uid}.xml": report(uid, mesh=("Lung/x",)) for uid in range(1, 6)})
    index = tmp_path / "index.csv"
    index.write_text(
        "uid,split,labels,mesh_major\n1,train,No Finding,normal\n2,test,Nodule;Effusion,Nodule\n"
        "3,val,,Lung/hypoinflation\n4,val,,No Indexing\n5,sometimes,,normal\n6,train,,\n"
    )
    studies, _, rejected = read(archive, index)
    assert studies["split"].tolist() == ["train", "test", "val", "val"]
    assert [list(labels) for labels in studies["labels"]] == [[], ["Nodule", "Effusion"], ["Other"], []]
    assert studies["labelled"].tolist() == [True, True, True, False]
    assert rejected["5"].startswith("unknown split")


def test_broken_reports_are_set_aside_and_the_rest_goes_on(tmp_path):
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]>'
    members = {
        "1.xml": report(1),
        "2.xml": report(2)[:-40],
        "3.xml": report(3, findings=" ", impression=""),
        "4.xml": report(4, extra=bomb, findings="&c;"),
        "5.xml": report(1),
        "6.xml": report(6, findings="caf\xe9").replace("\xe9".encode(), b"\xe9"),
        "7.xml": b"",
        "8.xml": report("eight"),
        "9.xml": report(9, findings="x" * iu.LARGEST),
        "10.xml": report(10).replace(b"utf-8", b"utf-99"),
        "11.xml": b"<eCitation><uId id='CXR11'/></eCitation>",
    }
    studies, _, rejected = read(pack(tmp_path / "a.tgz", members))
    assert list(studies.index) == ["iu_1"]
    kinds = rejected.str.partition(":")[0].to_dict()
    assert kinds == {
        "2": "broken XML",
        "3": "empty report",
        "4": "unsafe XML",
        "5": "duplicate id",
        "6": "broken XML",
        "7": "broken XML",
        "8": "missing id",
        "9": "too large",
        "10": "broken XML",
        "11": "empty report",
    }


def test_repeated_rows_of_the_index_are_listed(tmp_path):
    index = tmp_path / "index.csv"
    index.write_text("uid,split\n1,val\n1,test\n")
    archive = pack(tmp_path / "a.tgz", {"1.xml": report(1)})
    studies, _, rejected = read(archive, index)
    assert studies["split"].to_dict() == {"iu_1": "val"}
    assert rejected.to_dict() == {"line 3": "duplicate id: 1"}
    with pytest.raises(job.JobError, match="1 of 2 inputs were rejected"):
        read(archive, index, max_rejected=0.1)


def test_reports_that_the_index_does_not_know(tmp_path):
    archive = pack(tmp_path / "a.tgz", {"1.xml": report(1), "2.xml": report(2)})
    index = tmp_path / "index.csv"
    index.write_text("uid\n1\n")
    assert read(archive, index)[2].to_dict() == {"2": "not in the index"}
    with pytest.raises(job.JobError, match="1 of 2 inputs were rejected"):
        read(archive, index, max_rejected=0.1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("number,split\n1,train\n", "has no column uid"),
        ("uid,split\n1\n", "line 2: wrong number of cells"),
    ],
)
def test_unusable_indexes(tmp_path, content, message):
    index = tmp_path / "index.csv"
    index.write_text(content)
    with pytest.raises(job.JobError, match=message):
        read(pack(tmp_path / "a.tgz", {"1.xml": report(1)}), index)


def test_unusable_archives(tmp_path):
    whole = pack(tmp_path / "a.tgz", {f"{uid}.xml": os.urandom(3000) for uid in range(40)})
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(whole.read_bytes()[:50_000])
    text = tmp_path / "text.tgz"
    text.write_text("no archive")
    for path in (cut, text):
        with pytest.raises(job.JobError, match=r"is not a whole \.tgz archive"):
            read(path)
    with pytest.raises(job.JobError, match=r"holds no \.xml file"):
        read(pack(tmp_path / "b.tgz", {"a.txt": b"x"}))


def test_an_archive_that_grows_without_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(iu, "LARGEST_TOTAL", 5000)
    with pytest.raises(job.JobError, match="holds more than"):
        read(pack(tmp_path / "a.tgz", {f"{uid}.xml": report(uid) for uid in range(20)}))


def test_members_that_lead_elsewhere_are_never_written(tmp_path):
    archive = pack(tmp_path / "a.tgz", {"../../../evil.xml": report(1)})
    assert list(read(archive)[0].index) == ["iu_1"]
    assert not list(tmp_path.parent.rglob("evil.xml"))


@pytest.mark.skipif(not (COLLECTION / "reports/NLMCXR_reports.tgz").is_file(), reason="open-cxr is not here")
def test_the_real_archive(tmp_path):
    archive = tmp_path / "NLMCXR_reports.tgz"
    archive.symlink_to(COLLECTION / "reports/NLMCXR_reports.tgz")
    studies, reports, rejected = read(archive, COLLECTION / "reports/iu_index.csv", max_rejected=0.01)
    assert rejected.value_counts().to_dict() == {"empty report": 28}
    assert studies["split"].value_counts().to_dict() == {"train": 2712, "test": 814, "val": 401}
    assert reports.str.contains("IMPRESSION: ").mean() > 0.97
    assert (studies["labels"].map(len).eq(0) & studies["labelled"]).sum() == 1363
