"""A SLURM cluster of one node on this machine: munge, slurmctld and slurmd, with all their state in one folder."""

import contextlib
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

COMMANDS = ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo", "sacct")
PROGRAMS = ("munged", "slurmctld", "slurmd", *COMMANDS)
SYSTEM = os.pathsep.join(["/usr/sbin", "/sbin"])  # where Debian puts daemons, not on every user's PATH
HOST = socket.gethostname().partition(".")[0]
GPUS = ("null", "zero", "full")

# CPUs and memory are more than this machine has, so that what waits does so for the GPUs alone. GPUs are device files
# without a GPU behind them: SLURM hands them out all the same. Memory is watched each second, and a job that takes more
# than it asked for is killed, as control groups would do at once.
SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=100000,bf_interval=1
GresTypes=gpu
ReturnToService=2
MinJobAge=3600
KillWait=20
SlurmdTimeout=60
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=200000 Gres=gpu:3 State=UNKNOWN
PartitionName=processors Nodes={host} MaxTime=INFINITE State=UP
PartitionName=accelerators Nodes={host} MaxTime=INFINITE State=UP
"""


@dataclass
class Cluster:
    """A cluster whose state and settings lie in `folder`; its partitions are `processors` and `accelerators`."""

    folder: Path
    running: dict[str, subprocess.Popen] = field(default_factory=dict)

    def __enter__(self) -> "Cluster":
        for name in ("bin", "munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o700, parents=True)
        values = {"folder": self.folder, "host": HOST, "user": getpass.getuser(), "ports": free_ports(2)}
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (self.folder / "gres.conf").write_text(
            "".join(f"Name=gpu File=/dev/{name}\n" for name in ("null", "zero", "full"))
        )
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        for command in COMMANDS:
            # Jobs lose SLURM_CONF on their way to srun, so that the commands themselves say where it is.
            shim = self.folder / "bin" / command
            shim.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {find(command)} "$@"\n')
            shim.chmod(0o755)
        key = self.folder / "munge/key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        try:
            self.start("munged", "--foreground", "--force", *self._munge_files())
            wait_for((self.folder / "munge/socket").exists, "munged's socket")
            self.start("slurmctld", "-D")
            self.start_node()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the daemons and what is left of their jobs: all are this cluster's own, known by their ids."""
        if "slurmctld" in self.running:
            subprocess.run(["scancel", "--user", getpass.getuser()], env=self.environment(), check=False)
            wait_for(lambda: not self.steps(), "the jobs' end", 30, fail=False)
        self.kill_steps()
        for name in list(reversed(self.running)):
            process = self.running.pop(name)
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def environment(self) -> dict[str, str]:
        """The environment in which SLURM's commands speak to this cluster."""
        return {**os.environ, "PATH": os.pathsep.join([str(self.folder / "bin"), os.environ.get("PATH", ""), SYSTEM])}

    def start(self, program: str, *words: str) -> None:
        """Start a daemon in the foreground, as a child of this process."""
        with (self.folder / f"{program}.log").open("ab") as log:
            self.running[program] = subprocess.Popen(
                [find(program), *words],
                env={**self.environment(), "SLURM_CONF": str(self.folder / "slurm.conf")},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def start_node(self) -> None:
        """Start slurmd and wait until its node takes jobs."""
        self.start("slurmd", "-D")
        self._resume()
        wait_for(self._takes_jobs, f"the node ({self.folder})")

    def _takes_jobs(self) -> bool:
        """Whether the node takes jobs; one that registered after it was resumed has to be resumed again."""
        if re.search("State=(IDLE|MIXED|ALLOCATED) ", self.call("scontrol", "show", "node")):
            return True
        self._resume()
        return False

    def _resume(self) -> None:
        self.call("scontrol", "update", f"NodeName={HOST}", "State=RESUME")

    def kill_node(self) -> None:
        """SIGKILL to slurmd and to all jobs on its node, as if its plug were pulled; slurmctld need not find it out."""
        process = self.running.pop("slurmd")
        process.kill()
        process.wait()
        self.kill_steps()
        self.call("scontrol", "update", f"NodeName={HOST}", "State=DOWN", "Reason=killed")

    def steps(self) -> list[int]:
        """The ids of all processes of this cluster's jobs, after those of the daemons that look after them."""
        mine = [str(self.folder / "bin").encode(), b"SLURM_JOB_ID="]
        numbers = [int(process.name) for process in Path("/proc").iterdir() if process.name.isdecimal()]
        jobs = [number for number in numbers if all(word in said_of(number, "environ") for word in mine)]
        # A slurmstepd wipes its own environment.
        parents = {int((said_of(number, "stat").rpartition(b")")[2].split() or [b"", b"0"])[1]) for number in jobs}
        return [number for number in parents if said_of(number, "comm").startswith(b"slurmstepd")] + jobs

    def kill_steps(self) -> None:
        """SIGKILL to every process of every job; the daemons go first, so that none can tell of it."""
        # Again until none is left: one that was starting another when it was killed leaves an orphan.
        while found := self.steps():
            for number in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.05)

    def call(self, *words: str) -> str:
        """What a command of SLURM prints; "" if it fails."""
        return subprocess.run(words, env=self.environment(), capture_output=True, text=True, check=False).stdout

    def jobs(self) -> list[dict[str, str]]:
        """Every job and array task so far, with the fields of `scontrol show job`."""
        lines = self.call("scontrol", "--oneliner", "--details", "show", "job").splitlines()
        return [dict(re.findall(r"(\w+(?:/\w+)?(?::\w+)?)=(\S*)", line)) for line in lines if line.startswith("JobId=")]

    def _munge_files(self) -> list[str]:
        names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        return ["--num-threads=2", *(f"--{option}={self.folder}/munge/{name}" for option, name in names.items())]


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for found in sockets:
            found.bind(("", 0))
        return [found.getsockname()[1] for found in sockets]


def missing() -> list[str]:
    """The programs of SLURM that are not on this machine."""
    return [program for program in PROGRAMS if not find(program)]


def find(program: str) -> str | None:
    """Where a program is, on the PATH or among the system's daemons."""
    return shutil.which(program) or shutil.which(program, path=SYSTEM)


def wait_for(ready: Callable[[], object], what: str, seconds: float = 240, fail: bool = True) -> None:
    """Wait until `ready` says so."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            assert not fail, f"waited {seconds:g} s for {what}"
            return
        time.sleep(0.1)


def said_of(number: int, name: str) -> bytes:
    """What the kernel says of a process; nothing if it has ended."""
    try:
        return Path("/proc", str(number), name).read_bytes()
    except OSError:
        return b""
