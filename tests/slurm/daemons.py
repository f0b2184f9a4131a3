"""A real SLURM of one node for tests: its own folder, key, ports and processes, on loopback only.

Nothing outside the folder is read or written (`SLURM_CONF` points into it), so it can stand beside
an installed SLURM, and it is stopped by the process ids that it started.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
POLICY = Path("/usr/sbin/policy-rc.d")
SBIN = ("/usr/sbin", "/sbin")
CONFIGURATION = """\
ClusterName=phasesweep
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket,cred_expire=15
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
MinJobAge=600
KillWait=5
SchedulerParameters=sched_interval=1,sched_min_interval=100000,requeue_delay=1
MailProg=/bin/true
MpiDefault=none
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""


class SlurmError(RuntimeError):
    """SLURM could not be installed or started; says what is needed."""


@dataclass(frozen=True)
class Slurm:
    """A running SLURM."""

    root: Path
    environment: Mapping[str, str]

    def call(self, *command: object) -> str:
        """Output of one of SLURM's commands."""
        answer = subprocess.run(
            [str(word) for word in command],
            env=os.environ | dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if answer.returncode:
            raise SlurmError(f"{' '.join(map(str, command))}: {answer.stderr.strip()}")
        return answer.stdout

    def jobs(self, *states: str, name: str = "") -> dict[str, str]:
        """The jobs in the queue with their states, narrowed by state and by name."""
        lines = self.call("squeue", "--noheader", "--format=%i %T %j").splitlines()
        found = [line.split(maxsplit=2) for line in lines]
        return {
            job: state
            for job, state, called in found
            if (not states or state in states) and name in called
        }


def install() -> None:
    """Have the Debian packages installed, or say what is missing."""
    if not missing_programs():
        return
    needed = f"{', '.join(missing_programs())} (Debian packages {' and '.join(PACKAGES)})"
    if os.geteuid() != 0:
        raise SlurmError(f"these tests need root and {needed}; they start daemons of their own")
    if shutil.which("apt-get") is None:
        raise SlurmError(f"these tests need {needed}, and there is no apt-get to install them with")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_services_started():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
            answer = subprocess.run(
                ["apt-get", "--quiet", *command],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if answer.returncode:
                last = answer.stderr.strip()[-500:]
                raise SlurmError(f"apt-get {' '.join(command)} failed: {last}")
    if missing_programs():
        raise SlurmError(f"still missing after the installation: {', '.join(missing_programs())}")


@contextmanager
def _no_services_started() -> Iterator[None]:
    """Debian starts a package's services when it installs it, unless this file says no."""
    if POLICY.exists() or not POLICY.parent.is_dir():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def missing_programs() -> list[str]:
    """The programs of SLURM and munge that are not on the path."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *SBIN])
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


@contextmanager
def running_slurm(root: Path) -> Iterator[Slurm]:
    """Start munge, the controller and one node inside `root`; stop them afterwards."""
    if os.geteuid() != 0:
        raise SlurmError("these tests need root: SLURM starts jobs as other users")
    root.chmod(0o755)  # munge refuses a socket in a folder that others cannot enter
    for name in ("state", "spool"):
        (root / name).mkdir()
    key = root / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    controller, daemon = _free_ports(2)
    host = socket.gethostname().split(".")[0]
    cpus = 8  # whatever the machine has: what is tested is placement, not speed
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 * 9 // 10
    conf = root / "slurm.conf"
    conf.write_text(
        CONFIGURATION.format(
            host=host, root=root, controller=controller, daemon=daemon, cpus=cpus, memory=memory
        )
    )
    # Two devices that are copies of /dev/null: jobs are placed by them, and nothing is opened.
    for number in range(2):
        os.mknod(root / f"device{number}", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (root / "gres.conf").write_text(f"NodeName={host} Name=gpu File={root}/device[0-1]\n")
    _srun_in(root)
    path = os.pathsep.join([str(root / "bin"), os.environ["PATH"], *SBIN])
    slurm = Slurm(root, {"SLURM_CONF": str(conf), "PATH": path})
    munged = [
        *("munged", "--foreground", "--force", f"--key-file={key}"),
        *(f"--socket={root}/munge.socket", f"--pid-file={root}/munged.pid"),
        *(f"--log-file={root}/munged.log", f"--seed-file={root}/munged.seed"),
    ]
    started: list[subprocess.Popen] = []
    try:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            with (root / f"{command[0]}.out").open("w") as log:
                started.append(
                    subprocess.Popen(
                        command,
                        env=os.environ | dict(slurm.environment),
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        stdin=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                )
            if command is munged:
                _wait(lambda: (root / "munge.socket").exists(), "munged", started[-1], root)
        _wait(lambda: _idle(slurm), "slurmd", started[-1], root)
        yield slurm
        for job in slurm.jobs():
            slurm.call("scancel", job)
        _wait(lambda: not slurm.jobs(), "slurmctld", started[1], root)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
        left = _ended_leftovers(conf)
    if left:
        raise SlurmError(f"these had to be ended by their process ids: {'; '.join(left)}")


def _ended_leftovers(conf: Path, patience: float = 20) -> list[str]:
    """What still runs of the jobs of this SLURM after a moment; it is ended, one process at a time.

    Every process of a job has the path of this SLURM's configuration in its environment.
    """
    deadline = time.monotonic() + patience
    while (left := _processes_of(conf)) and time.monotonic() < deadline:
        time.sleep(0.5)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return [f"{process} {command}" for process, command in left.items()]


def _processes_of(conf: Path) -> dict[int, str]:
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):  # it has ended
            if f"SLURM_CONF={conf}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = command.decode(errors="replace")[:80]
    return found


def _srun_in(root: Path) -> None:
    """An srun that finds this SLURM: Snakemake's job step takes SLURM_CONF from its environment."""
    script = root / "bin" / "srun"
    script.parent.mkdir()
    path = os.pathsep.join([os.environ["PATH"], *SBIN])
    srun = shutil.which("srun", path=path)
    script.write_text(f'#!/bin/sh\nSLURM_CONF={root}/slurm.conf exec {srun} "$@"\n')
    script.chmod(0o755)


def _idle(slurm: Slurm) -> bool:
    try:
        return "idle" in slurm.call("sinfo", "--noheader", "--format=%T")
    except SlurmError:
        return False


def _wait(ready, what: str, process: subprocess.Popen, root: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline or process.poll() is not None:
            logs = [
                p.read_text()[-800:]
                for p in sorted(root.glob(f"{what}*.*"))
                if p.is_file() and p.suffix in (".log", ".out")
            ]
            raise SlurmError(f"{what} does not answer; its last words:\n" + "\n".join(logs))
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
