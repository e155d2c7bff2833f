"""One cluster for all tests here, and what is run on it: the tiny study, and jobs that get into trouble."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from one_node import Cluster, missing
from runs import BEFORE, HERE, TARGETS, Both, Checkout, Run, make_checkout


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if absent := missing():
        pytest.skip(f"no SLURM on this machine (apt-get install slurm-wlm munge): no {', '.join(absent)}")
    # The socket's path must be short, so that pytest's own folder will not do.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with Cluster(folder / "c") as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def troubles(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The jobs of troubles.smk, running."""
    folder = tmp_path_factory.mktemp("troubles")
    run = Checkout(folder).on(cluster, "--snakefile", str(HERE / "troubles.smk"), SYNVLP_MAX_MEM_MB="950")
    yield run
    run.end()


@pytest.fixture(scope="session")
def begun(cluster: Cluster, troubles: Run, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The tiny study up to what the cluster is to make, run here while the troubles take their course."""
    made = make_checkout(tmp_path_factory.mktemp("begun") / "study")
    run = made.here("--configfile", "tiny.yaml", "study.yaml", "--", *BEFORE)
    assert run.wait() == 0, run.text()[-5000:]
    return made


@pytest.fixture(scope="session")
def both(cluster: Cluster, begun: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The rest of the study, on the cluster and here."""
    folder = tmp_path_factory.mktemp("both")
    made = {name: begun.copy(folder / name) for name in ("cluster", "here")}
    known = {job["JobId"] for job in cluster.jobs()}
    words = ["--configfile", "tiny.yaml", "study.yaml", "--", *TARGETS]
    runs = {"cluster": made["cluster"].on(cluster, *words), "here": made["here"].here(*words)}
    try:
        for run in runs.values():
            assert run.wait() == 0, run.text()[-5000:]
        said = runs["cluster"].text()
        jobs = [job for job in cluster.jobs() if f"{made['cluster'].folder}" in job["WorkDir"]]
        assert {job["JobId"] for job in jobs}.isdisjoint(known)
        yield Both(made["cluster"], made["here"], jobs, said)
    finally:
        for run in runs.values():
            run.end()
