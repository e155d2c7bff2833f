"""The study on a real SLURM of one node: what it gets from it, and what it survives."""

import contextlib
import os
import re
import signal
from pathlib import Path

import pytest
from one_node import said_of, wait_for
from runs import ENCODER, SHARDS

pytestmark = pytest.mark.slurm
LONG = "encoders={pretrain: {steps: 20000, processes: 1}}"  # never done before the test is
SHORT = "encoders={pretrain: {steps: 40, processes: 1}}"  # long enough to be caught, short enough to wait for
LOG = "results/tiny/logs/pretrain/convirt/real/seed-0.log"


def rule_of(job: dict[str, str]) -> str:
    return re.match(r"rule_(.*?)(_wildcards_|$)", job["Comment"])[1]


def gpus_of(job: dict[str, str]) -> int:
    return int(re.search(r"gpu:(\d+)|$", job.get("TresPerJob", ""))[1] or 0)


def attempts_at(run, cluster, rule: str) -> list[dict[str, str]]:
    """The SLURM jobs of a rule in a run, in the order in which they were sent."""
    sent = re.search(r"SLURM run ID: (\S+)", run.text())[1]
    return sorted(
        (job for job in cluster.jobs() if job["JobName"] == sent and rule_of(job) == rule),
        key=lambda job: int(job["JobId"]),
    )


def test_results_are_the_bytes_of_a_run_on_this_machine(both):
    on_cluster, here = both.cluster.artifacts(), both.here.artifacts()
    assert {ENCODER, *SHARDS} <= {f"results/{path}" for path in here}
    assert on_cluster == here


def test_jobs_go_to_their_partitions_and_targets_stay(both):
    found = {rule_of(job): job["Partition"] for job in both.jobs}
    gpus = dict.fromkeys(("synthesize", "screen", "pretrain"), "accelerators")
    assert found == {**gpus, "contact_sheet": "processors"}
    assert {job["JobState"] for job in both.jobs} == {"COMPLETED"}


def test_shards_are_one_array(both):
    shards = [job for job in both.jobs if rule_of(job) == "synthesize"]
    assert sorted(job["ArrayTaskId"] for job in shards) == ["1", "2", "3"]
    assert len({job["ArrayJobId"] for job in shards}) == 1
    assert len(re.findall(r"Submitted array job with Snakemake IDs (\d+,\d+,\d+) ", both.said)) == 1
    assert not any("ArrayJobId" in job for job in both.jobs if job not in shards)
    for path in SHARDS:
        log = path.replace("results/tiny/images", "results/tiny/logs/synthesize").replace("shards/", "")
        text = (both.cluster.folder / log).with_suffix(".log").read_text()
        assert f"wrote {path}" in text and "are taken again" not in text


def test_gpu_jobs_wait_for_each_other(both):
    jobs = [job for job in both.jobs if rule_of(job) in ("pretrain", "synthesize")]
    assert sorted(gpus_of(job) for job in jobs) == [1, 1, 1, 2]
    assert max(job["SubmitTime"] for job in jobs) < min(job["EndTime"] for job in jobs)
    for moment in (job["StartTime"] for job in jobs):
        taken = sum(gpus_of(job) for job in jobs if job["StartTime"] <= moment < job["EndTime"])
        assert 1 <= taken <= 3, moment


def test_a_job_of_two_gpus_starts_once_with_a_process_for_each(both, troubles, cluster):
    (pretrain,) = [job for job in both.jobs if rule_of(job) == "pretrain"]
    assert (gpus_of(pretrain), pretrain["NumTasks"], pretrain["NumCPUs"]) == (2, "1", "2")
    log = (both.cluster.folder / LOG).read_text()
    assert log.count("2 processes, each of which takes 4 of a batch of 8") == log.count("done in") == 1
    assert troubles.wait() != 0
    assert Path(troubles.folder, "gpus.txt").read_text() == "0,1\n"


def test_after_an_out_of_memory_kill_a_job_gets_more(troubles, cluster):
    assert troubles.wait() != 0
    first, second = attempts_at(troubles, cluster, "hungry")
    assert "exceeded memory limit" in Path(first["StdOut"]).read_text() and second["JobState"] == "COMPLETED"
    assert [job["MinMemoryNode"] for job in (first, second)] == ["500M", "950M"]  # twice as much would be 1000
    assert Path(troubles.folder, "hungry.txt").exists()


def test_after_a_time_limit_a_job_gets_more_and_goes_on(troubles, cluster):
    assert troubles.wait() != 0
    first, second = attempts_at(troubles, cluster, "slow")
    assert [(job["JobState"], job["TimeLimit"]) for job in (first, second)] == [
        ("TIMEOUT", "00:01:00"),
        ("COMPLETED", "00:02:00"),
    ]
    assert Path(troubles.folder, "slow.txt").read_text() == "half\n"


def test_the_last_lines_of_a_failed_job_reach_the_user(troubles, cluster):
    assert troubles.wait() != 0
    text = troubles.text()
    assert "Error in rule broken" in text and "logs/broken.log" in text and "the last words of a broken job" in text
    (job,) = attempts_at(troubles, cluster, "broken")
    assert f"SLURM-job '{job['JobId']}' failed" in text and job["StdOut"] in text


def test_a_long_job_outlives_scancel_a_killed_node_and_an_interrupted_snakemake(begun, cluster, tmp_path):
    study = begun.copy(tmp_path / "interrupted")
    log = study.folder / LOG
    words = ["--configfile", "tiny.yaml", "study.yaml", "--config", LONG, "--", ENCODER]
    run = study.on(cluster, *words, SYNVLP_CHECKPOINT_SECONDS="1")

    def running(place: int, restarts: str = "0") -> bool:
        assert run.process.poll() is None, run.text()[-3000:]
        jobs = attempts_at(run, cluster, "pretrain") if "SLURM run ID" in run.text() else []
        return len(jobs) > place and jobs[place]["JobState"] == "RUNNING" and jobs[place]["Restarts"] == restarts

    def goes_on() -> bool:
        return log.exists() and "going on from" in log.read_text()

    try:
        wait_for(lambda: running(0) and any(study.folder.glob("scratch/convirt-*/state.pt")), "a saved state", 300)
        (first,) = attempts_at(run, cluster, "pretrain")
        cluster.call("scancel", first["JobId"])
        wait_for(lambda: running(1) and goes_on(), "a second attempt", 300)
        assert re.search(r"stopped by SIGTERM at step \d+ of \d+; the next start goes on from there", run.text())

        log.unlink()
        cluster.kill_node()
        cluster.start_node()
        wait_for(lambda: running(1, restarts="1") and goes_on(), "SLURM to start the job again", 300)

        log.unlink()
        run.process.send_signal(signal.SIGINT)
        assert run.wait(60) != 0
        wait_for(lambda: attempts_at(run, cluster, "pretrain")[1]["JobState"] == "CANCELLED", "its job's end")
        wait_for(lambda: not cluster.steps(), "its job's processes to end")
        assert not (study.folder / ENCODER).exists()

        run = study.on(cluster, *words)
        wait_for(lambda: goes_on(), "the second start to go on", 300)
    finally:
        run.end()


def test_after_an_interrupted_snakemake_the_second_start_ends_in_the_bytes_of_an_undisturbed_run(
    begun, cluster, tmp_path
):
    made = {name: begun.copy(tmp_path / name) for name in ("interrupted", "undisturbed")}
    words = ["--configfile", "tiny.yaml", "study.yaml", "--config", SHORT, "--", ENCODER]
    study = made["interrupted"].folder
    runs = [made["interrupted"].on(cluster, *words, SYNVLP_CHECKPOINT_SECONDS="0")]
    try:
        # With its first state saved the job is held, so that it cannot end before Snakemake is interrupted, however
        # fast the machine. SLURM lets it go on when it sends it the signal to end.
        wait_for(lambda: held(cluster, "pretrain-convirt", study), "the job to have saved a state", 300)
        runs[0].process.send_signal(signal.SIGINT)
        assert runs[0].wait(60) != 0
        wait_for(lambda: not cluster.steps(), "its job's processes to end")
        assert "stopped by SIGTERM at step" in (study / LOG).read_text()
        assert not (study / ENCODER).exists()

        runs += [made["interrupted"].on(cluster, *words), made["undisturbed"].here(*words)]
        assert [run.wait() for run in runs[1:]] == [0, 0], "".join(run.text()[-3000:] for run in runs[1:])
        assert "going on from" in (study / LOG).read_text()
        assert "going on from" not in (made["undisturbed"].folder / LOG).read_text()
        assert (study / ENCODER).read_bytes() == (made["undisturbed"].folder / ENCODER).read_bytes()
    finally:
        for run in runs:
            run.end()


def held(cluster, verb: str, study: Path) -> bool:
    """Stop the processes of a job that has saved a state, as Ctrl-Z would; whether there are any."""
    if not any(study.glob("scratch/*/state.pt")):
        return False
    jobs = [number for number in cluster.steps() if verb.encode() in said_of(number, "cmdline")]
    for number in jobs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGSTOP)
    return bool(jobs)
