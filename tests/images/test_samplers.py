"""Every kind of generator draws alike: samples that depend on nothing but themselves, and files that must fit."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from synvlp import cli, job, provenance
from synvlp.images import partition, screen, synthesize
from synvlp.models import device as devices
from synvlp.models import gan, generator, samplers, vae
from synvlp.models import pipeline as pipelines
from synvlp.store import images, tables

QUICK = {"batch": 8, "min_deviation": 0.0, "max_saturated": 1.0}
NETWORKS = {
    "vae": (vae.Network, {"channels": [8, 16], "latents": [4, 2], "width": 16, "groups": 4, "heads": 2}),
    "gan": (
        gan.Generator,
        {"channels": [8, 16], "vector": 4, "width": 16, "groups": 4, "heads": 2, "words": 2},
    ),
}


@pytest.fixture(scope="module")
def generators(pipeline, tmp_path_factory):
    """The files of a VAE and of a GAN with random weights for 16 pixels, which read texts as `pipeline` does."""
    import torch

    parts = pipelines.open_files(pipeline)
    found = {}
    for kind, (make, settings) in NETWORKS.items():
        torch.manual_seed(1)
        network = make(size=16, **settings)
        for layer in network.modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                layer.weight.data *= 1.5  # random weights make flat images
        networks = {"network": network, "text_encoder": parts.text_encoder}
        described = {
            "network": {"size": 16, **settings},
            "text_encoder": generator.text_settings(parts.text_encoder.config),
        }
        folder = tmp_path_factory.mktemp(kind)
        paths = generator.Files(**{name: folder / place for name, place in generator.FILES.items()})
        generator.write(generator.Parts(kind, described, generator.named_weights(networks), parts.tokenizer), paths)
        found[kind] = paths.paths()
    return found


def drawn(folder, prompts, files, shards=1, **settings):
    """All shards as one table."""
    parts = [folder / f"prompts-{shard}-of-{shards}.parquet" for shard in range(shards)]
    partition.run(partition.Settings(), partition.Inputs(prompts=prompts), partition.Outputs(parts=parts))
    paths = [folder / f"{shard}-of-{shards}.parquet" for shard in range(shards)]
    for path, part in zip(paths, parts, strict=True):
        synthesize.run(
            synthesize.Settings(**QUICK | settings),
            synthesize.Inputs(prompts=part, pipeline=files),
            synthesize.Outputs(shard_file=path),
        )
    return tables.read_all(paths, tables.SHARD)


def pixels(table):
    return np.stack([images.decode(data) for data in table["image"]]).astype(int)


@pytest.fixture(scope="module", params=NETWORKS)
def whole(request, prompts, generators, tmp_path_factory):
    """A kind, and its images of all studies drawn at once."""
    folder = tmp_path_factory.mktemp(f"whole-{request.param}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNVLP_SCRATCH", str(folder / "scratch"))
        return request.param, drawn(folder, prompts, generators[request.param])


def test_each_study_gets_an_image_of_its_own(whole):
    _, table = whole
    assert len(table) == 22 and table["accepted"].all()
    assert pixels(table).shape == (22, 16, 16) and pixels(table).std((1, 2)).min() > 1
    same = table[table["prompt"] == "left effusion"]
    assert len(same) > 2 and len(set(same["image"])) == len(same)


@pytest.mark.parametrize("shards", [3, 8])
def test_samples_are_the_same_to_the_last_bit_for_any_number_of_shards(whole, prompts, generators, tmp_path, shards):
    kind, table = whole
    pd.testing.assert_frame_equal(drawn(tmp_path, prompts, generators[kind], shards), table)


def test_what_is_known_of_a_prompt_does_not_depend_on_its_neighbours(whole, generators):
    """The longest prompt of a batch once decided over how many tokens the others' attention summed: other last bits."""
    import torch

    kind, _ = whole
    settings = synthesize.Settings(**QUICK)
    sampler = samplers.open_sampler(generators[kind], settings, devices.prepare(settings))
    seen = []
    sampler.text_encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    alone = sampler.embed(["left effusion"])[0]
    beside = sampler.embed(["left effusion", " ".join(["left effusion"] * 8)])[0]
    assert torch.equal(alone, beside)
    assert len(set(seen)) == 1 and seen[0] == (8, alone.shape[0])


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_samples_are_within_a_gray_level_for_any_batch(whole, prompts, generators, tmp_path, batch):
    kind, table = whole
    other = drawn(tmp_path, prompts, generators[kind], batch=batch)
    assert np.abs(pixels(other) - pixels(table)).max() <= 1


def test_what_matters_and_what_does_not(whole, prompts, generators, tmp_path):
    kind, table = whole
    for change in ({"seed": 1}, {"temperature": 0.5}):
        assert (pixels(drawn(tmp_path, prompts, generators[kind], **change)) != pixels(table)).any((1, 2)).all()
    other = drawn(tmp_path, prompts, generators[kind], steps=3, guidance=1.0, scheduler="ddim")
    pd.testing.assert_frame_equal(other, table)
    still = drawn(tmp_path, prompts, generators[kind], temperature=0.0)
    groups = still.groupby("prompt")["image"].nunique()
    assert (groups == 1).all() and still["image"].nunique() == len(groups)


def test_the_command_draws_screens_and_shows(prompts, generators, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [*map(str, generators["gan"])]
    quick = ["--min-deviation", "0", "--max-saturated", "1", "--batch", "8"]
    for words in (
        ["synthesize", "--prompts", str(prompts), "--pipeline", *files, "--shard-file", "shard.parquet", *quick],
        ["screen", "--shards", "shard.parquet", "--prompts", str(prompts), "--pipeline", *files, "--images",
         "images.parquet", "--rejected", "rejected.csv", "--summary", "summary.json", "--max-correlation", "0.9",
         "--compare-size", "16", "--max-rejected", "1", *quick],
        ["contact-sheet", "--images", "images.parquet", "--prompts", str(prompts), "--sheet", "sheet.png"],
    ):  # fmt: skip
        assert cli.main(words) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["draws"] > summary["studies"] == 24  # what is too close to another is drawn again
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_each_kinds_images_depend_on_the_code_of_that_kind_alone(generators, pipeline):
    own = {"vae": "synvlp.models.vae", "gan": "synvlp.models.gan", "diffusion": "synvlp.models.sampler"}
    files = {**generators, "diffusion": pipeline}
    for kind, module in own.items():
        inputs = synthesize.Inputs(prompts=".", pipeline=files[kind])
        closure = provenance.closure("synvlp.images.synthesize", *synthesize.imports_by_name(inputs))
        assert module in closure
        assert not closure & (set(own.values()) - {module})
        assert not any(name.startswith("synvlp.generators") for name in closure)


def test_the_saved_state_knows_the_code_that_draws(generators, prompts, monkeypatch):
    asked = []
    whole = provenance.fingerprint
    monkeypatch.setattr(provenance, "fingerprint", lambda *modules: asked.append(modules) or whole(*modules))
    for module, more in ((synthesize, {}), (screen, {"shards": []})):
        inputs = module.Inputs(prompts=prompts, pipeline=generators["gan"], **more)
        job.digest_of(module.__name__, module.Settings(), inputs)
        assert asked.pop() == (module.__name__, "synvlp.models.samplers.gan")


def broken(folder, files, change):
    """A copy of a generator's folder that `change` has spoilt; the list of its files."""
    shutil.copytree(files[0].parent, folder / "copy")
    paths = [folder / "copy" / path.relative_to(files[0].parent) for path in files]
    change(folder / "copy")
    return [path for path in paths if path.exists()]


def described(**change):
    def spoil(folder):
        path = folder / "generator.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))

    return spoil


def reshaped(folder):
    content = json.loads((folder / "generator.json").read_text())
    content["networks"]["network"]["channels"] = [8, 8]
    (folder / "generator.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "generator.safetensors").unlink(), "generator.safetensors is missing"),
        (lambda folder: (folder / "generator.safetensors").write_bytes(b"no"), "cannot be opened as a generator"),
        (lambda folder: (folder / "generator.json").write_text("{"), "generator.json is not readable JSON"),
        (lambda folder: (folder / "generator.json").write_text("[]"), "does not describe a generator"),
        (described(kind="os.path"), "there is no kind of generator 'os.path'; there are diffusion, gan, vae"),
        (described(networks={}), "the files of the vae do not hold its network"),
        (reshaped, "the files of the vae do not hold its network: RuntimeError"),
    ],
)
def test_a_broken_generator_says_what_is_wrong(prompts, generators, tmp_path, change, message):
    with pytest.raises(job.JobError, match=message):
        drawn(tmp_path, prompts, broken(tmp_path, generators["vae"], change))


def test_files_of_two_generators_or_of_none_are_refused(prompts, generators, tmp_path):
    with pytest.raises(job.JobError, match=r"one model_index\.json or generator\.json, not 2"):
        drawn(tmp_path, prompts, [*generators["vae"], *generators["gan"]])
    with pytest.raises(job.JobError, match=r"one model_index\.json or generator\.json, not 0"):
        drawn(tmp_path, prompts, generators["vae"][1:])


def test_another_size_than_the_generators_says_so(prompts, generators, tmp_path):
    with pytest.raises(job.JobError, match="size = 32, but this gan draws images of 16 pixels"):
        drawn(tmp_path, prompts, generators["gan"], size=32)
