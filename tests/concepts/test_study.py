"""Sets of written reports in the study: where their texts and images come from, and what is refused."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from synvlp import provenance
from synvlp.concepts import writers
from synvlp.costs import Sizes
from synvlp.study import Study, StudyError, overlaid

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
OVERLAY = """
concepts:
  written:
    even: {corpus: phantom, sampling: {count: 200, cap: 50}, audit: {val_share: 0.25}}
    small: {corpus: phantom, sampling: {method: natural}, writer: {kind: trained, train_writer: {steps: 7}}}
    large: {corpus: phantom, writer: {kind: local, model_folder: models/large}}
pair_sets:
  written: {corpus: even, generator: diffusion}
sources:
  written: {written: 1}
"""


def study(**pair_set: object) -> Study:
    overlay = yaml.safe_load(OVERLAY)
    if pair_set:
        overlay["pair_sets"]["written"] = pair_set
    return Study(overlaid(CONFIG, overlay))


class Wildcards(SimpleNamespace):
    def items(self):
        return vars(self).items()


def test_a_written_set_stands_where_a_corpus_does():
    made = study()
    assert made.prompts_file("even") == "<results>/concepts/even/prompts.parquet"
    assert made.prompts_file("phantom") == "<results>/reports/phantom/prompts.parquet"
    assert made.pair_file("written", "prompts") == "<results>/concepts/even/prompts.parquet"
    assert made.pair_file("written", "images") == "<results>/images/diffusion/even/images.parquet"
    assert {"generator": "diffusion", "corpus": "even"} in made.image_sets()
    assert made.text_corpora() == ["even", "phantom"] and made.corpora() == ["phantom"]
    assert made.real_images("even") == [] and made.real_images("phantom")
    assert made.concept_corpora() == ["phantom"], "its reports are what written ones are compared with"
    page = made.page()
    assert page["extractions"] == {"phantom": "<results>/concepts/phantom/measures.json"}
    assert page["writings"]["even"] == "<results>/concepts/even/audit.json"
    assert page["rejected"]["Sets of even"] == "<results>/concepts/even/template/rejected.csv"
    assert "Synthetic: diffusion, prompts of even" in page["pictures"]


def test_the_page_measures_extraction_where_the_truth_is_known():
    corpus = {
        "corpora": {"real": {"kind": "manifest", "path": "real.csv"}},
        "reports": {"published": ["real"]},
    }
    for corpora, measured in (([], []), (["phantom"], ["phantom"]), (["phantom", "real"], ["phantom"])):
        made = Study(overlaid(CONFIG, corpus | {"concepts": {"corpora": corpora}}))
        page, settings = made.page(), made.settings("write_page")(Wildcards())
        assert list(page["extractions"]) == measured
        assert ("--extraction-titles phantom" in settings) == bool(measured)


def test_the_files_of_models_are_inputs_of_what_they_write():
    made = study()
    assert made.writer_model("even") == []
    assert "<results>/concepts/small/model/model.safetensors" in made.writer_model("small")
    assert made.writer_model("large") == ["models/large/config.json"]
    assert "models/large/config.json" in made.files_from_outside()


def test_a_job_gets_its_own_settings_and_code():
    made = study()
    rule = made.settings("write_reports")
    assert "--join 0.3" in rule(Wildcards(written="even", writer="template"))
    assert "--steps" not in rule(Wildcards(written="small", writer="trained"))
    assert "--steps 7" in made.settings("train_writer")(Wildcards(written="small"))
    assert made.on_gpu("write_reports")(Wildcards(written="even", writer="template")) == 0
    assert made.on_gpu("write_reports")(Wildcards(written="large", writer="local")) == 1
    modules = made.fingerprints()
    assert ("synvlp.concepts.writers.local",) in modules and ("synvlp.concepts.writers.server",) not in modules
    frequencies = made.settings("draw_frequencies")(Wildcards())
    assert "--written even large small --samplings balanced balanced natural" in frequencies


def test_a_changed_writer_reruns_only_its_own_jobs():
    prefix = "synvlp.concepts.writers."
    for kind in writers.KINDS:
        found = provenance.closure(f"{prefix}{kind}")
        assert {name for name in found if name.startswith(prefix)} == {f"{prefix}{kind}"}
        assert "synvlp.study" not in found
    assert "synvlp.concepts.urn" not in provenance.closure(f"{prefix}template")


def test_costs_count_the_sets():
    count = Sizes(study()).corpus("even")
    assert (count.studies, count.train, count.drawn) == (200, 150, 200)


def test_what_is_refused():
    with pytest.raises(StudyError, match=r"pair_sets.written: even is a set of written reports, .* no images"):
        study(corpus="even", generator=None)
    with pytest.raises(StudyError, match=r"there is no 'evn'; .*did you mean 'even'"):
        study(corpus="evn", generator="diffusion")
    for part, said in (
        ({"phantom": {"corpus": "phantom"}}, "a corpus has this name"),
        ({"x": {"corpus": "nothing"}}, "concepts.written.x.corpus: there is no 'nothing'"),
        ({"x": {"corpus": "phantom", "writer": {"kind": "poet"}}}, "'local', 'server', 'template', 'trained'"),
        ({"x": {"corpus": "phantom", "writer": {"kind": "server", "model": "m"}}}, "writer.url: is missing"),
    ):
        with pytest.raises(StudyError) as error:
            Study(overlaid(CONFIG, {"concepts": {"written": part}}))
        assert said in str(error.value)
