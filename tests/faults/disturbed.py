"""One sweep, computed by processes that are killed: what is started, killed, awaited and counted.

Only processes that were started here, or that those started, are ever signalled, by their number.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
FLUSH_ROWS = 20
WORKERS = 2
SEED_POINTS = 4
"""Points that share a seed: a batch. Drivers started here send one in a task."""
SNAKEMAKE_TASK = 8
"""Points in a task of a driver that Snakemake starts, with the project's own settings."""
IN_FLIGHT = 3 * WORKERS
# A driver that flushes often, and whatever the disk costs.
DRIVER = (
    f"import phasesweep.sweep as s, phasesweep.dispatch as d; s.FLUSH_ROWS = {FLUSH_ROWS}; s.FLUSH_SHARE = 1.0; "
    "d.TASK_SECONDS = 0.5; from phasesweep.cli import main; main()"
)
LOST = {
    "worker": IN_FLIGHT * SEED_POINTS,
    "driver": FLUSH_ROWS + SEED_POINTS + IN_FLIGHT * SEED_POINTS,
    "scheduler": IN_FLIGHT * SEED_POINTS,
    "snakemake": IN_FLIGHT * SNAKEMAKE_TASK,
}
"""Points that one kill may cost: what was held back for a flush, and tasks in flight."""


@dataclass
class Disturbed:
    """A sweep, its data folder, and the kills so far."""

    folder: Path
    points: int
    pause: float
    random: random.Random
    kills: Counter = field(default_factory=Counter)
    starting: float = 5.0
    """Seconds that a driver takes to its first points, as last seen."""

    def __post_init__(self) -> None:
        self.log.mkdir(parents=True)
        seeds = self.points // SEED_POINTS
        alpha = [0.8, 0.9, 1.0, 1.1]
        axes = {"dimension": 16, "seed": {"count": seeds}, "alpha": alpha, "pause": self.pause}
        self.sweep.write_text(yaml.safe_dump({"system": "toy", "methods": {"measure": axes}}))
        local = {"kind": "local", "workers": WORKERS, "memory": "512MiB"}
        self.cluster.write_text(yaml.safe_dump(local))
        content = {"sweeps": [str(self.sweep)], "figures": [], "cluster": str(self.cluster)}
        self.config.write_text(yaml.safe_dump(content))

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def sweep(self) -> Path:
        return self.folder / "disturbed.yaml"

    @property
    def cluster(self) -> Path:
        return self.folder / "local.yaml"

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def computed(self) -> Counter:
        """How often each point was computed, from what the solver wrote down."""
        lines = Counter()
        for path in self.log.iterdir():
            lines.update(path.read_text().splitlines())
        return lines

    def start(
        self, *command: object, told: str = "told.txt", **environment: str
    ) -> subprocess.Popen:
        environment |= os.environ | {
            "TOY_LOG": str(self.log),
            "PHASESWEEP_DATA": str(self.data),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }
        # Into a file: a killed process leaves children that would keep a pipe open.
        with (self.folder / told).open("ab") as out:
            return subprocess.Popen(
                list(map(str, command)), cwd=ROOT, env=environment, stdout=out, stderr=out
            )

    def run(self, *options: object) -> subprocess.Popen:
        """A driver."""
        return self.start(sys.executable, "-c", DRIVER, "run", self.sweep, *options)

    def snakemake(self, **environment: str) -> subprocess.Popen:
        profile = ROOT / "workflow" / "profiles" / "default"
        options = ("--profile", profile, "--configfile", self.config)
        return self.start(BIN / "snakemake", *options, **environment)

    def told(self) -> str:
        return (self.folder / "told.txt").read_text()

    # -- kills -----------------------------------------------------------------------------

    def wait_for_points(self, process: subprocess.Popen, seconds: float = 300) -> bool:
        """Until the first new points are computed; False if the process ended before."""
        began, before = time.monotonic(), self._lines()
        while time.monotonic() - began < seconds:
            if process.poll() is not None:
                return False
            if self._lines() > before:
                self.starting = time.monotonic() - began
                return True
            time.sleep(0.05)
        raise AssertionError(f"no points in {seconds} s: {self.told()[-2000:]}")

    def _lines(self) -> int:
        return sum(path.stat().st_size for path in self.log.iterdir())

    def sleep(self, most: float) -> None:
        time.sleep(self.random.uniform(0, most))

    def _kill(self, kind: str, process: psutil.Process | subprocess.Popen) -> None:
        """kill -9, counted unless it has ended by itself."""
        try:
            if isinstance(process, subprocess.Popen) and process.poll() is not None:
                return
            process.kill()
        except psutil.NoSuchProcess:
            return
        self.kills[kind] += 1
        with (self.folder / "kills.txt").open("a") as kills:
            kills.write(f"{time.time():.1f} {kind}\n")

    def kill_workers(self, count: int) -> None:
        """A driver, and its workers one by one at random instants, also while they start."""
        enough = self.kills["worker"] + count
        driver = self.run("--cluster", self.cluster)
        try:
            if not self.wait_for_points(driver):
                return
            for _ in range(2 * count):
                if self.kills["worker"] >= enough or driver.poll() is not None:
                    return
                self.sleep(1.5)
                workers = _workers(driver)
                if workers:
                    self._kill("worker", self.random.choice(workers))
        finally:
            _stop(driver)

    def kill_driver(self) -> None:
        """A driver at any instant, from before its first line to after many flushes."""
        driver = self.run("--cluster", self.cluster)
        began = time.monotonic()
        end = self.random.uniform(0, 1.5 * self.starting)
        while time.monotonic() - began < end and driver.poll() is None:
            time.sleep(0.02)
        family = _family(driver)
        self._kill("driver", driver)
        driver.wait(30)
        assert not _alive(family, 120), "workers outlive their driver"

    def kill_scheduler(self) -> None:
        """A scheduler that runs by itself, with two workers and a driver."""
        with self._scheduler() as (scheduler, address):
            driver = self.run("--cluster", address)
            try:
                if self.wait_for_points(driver):
                    self.sleep(3)
                self._kill("scheduler", scheduler)
                driver.wait(300)
                assert driver.returncode in (0, 1), self.told()[-2000:]
            finally:
                _stop(driver)

    @contextmanager
    def _scheduler(self) -> Iterator[tuple[subprocess.Popen, str]]:
        file = self.folder / f"scheduler-{self.random.random()}.json"
        dask = (sys.executable, "-m", "dask")
        local = ("--host", "127.0.0.1", "--scheduler-file", file, "--no-dashboard")
        # Dask's own programs say with a traceback that they lost each other.
        scheduler = self.start(*dask, "scheduler", "--port", "0", *local, told="dask.txt")
        started = [scheduler]
        try:
            started += [
                self.start(
                    *(*dask, "worker", "--no-nanny", "--nthreads", "1", *local), told="dask.txt"
                )
                for _ in range(WORKERS)
            ]
            deadline = time.monotonic() + 240
            while not file.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            yield scheduler, json.loads(file.read_text())["address"]
        finally:
            for process in started:
                _stop(process)

    def kill_snakemake(self) -> None:
        """Snakemake alone: what it started must end by itself, with its points stored."""
        snakemake = self.snakemake()
        try:
            if self.random.random() < 0.7 and self.wait_for_points(snakemake):
                self.sleep(3)
            else:
                self.sleep(self.starting)
            family = _family(snakemake)
            self._kill("snakemake", snakemake)
            snakemake.wait(30)
            left = _alive(family, 120)
            assert not left, f"what Snakemake started outlives it: {left}"
        finally:
            _stop(snakemake)

    def finish(self) -> None:
        """Snakemake, undisturbed and without pauses: the rest of the points, and the dataset."""
        process = self.snakemake(TOY_HURRY="1")
        assert process.wait(900) == 0, self.told()[-4000:]

    def kinds(self) -> dict[str, Callable[[], None]]:
        return {
            "worker": lambda: self.kill_workers(20),
            "driver": self.kill_driver,
            "scheduler": self.kill_scheduler,
            "snakemake": self.kill_snakemake,
        }


def _family(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _workers(driver: subprocess.Popen) -> list[psutil.Process]:
    """Worker processes of a driver: its nannies are threads of its own."""
    found = []
    for child in _family(driver):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def _alive(family: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    return psutil.wait_procs(family, timeout=seconds)[1]


def _stop(process: subprocess.Popen) -> None:
    """End one of ours that has done its part: as a person would, then for certain."""
    family = _family(process)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)
    for left in _alive(family, 20):
        left.kill()
