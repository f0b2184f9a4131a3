"""kill -9 of workers, schedulers, drivers and Snakemake at random instants: nothing is lost."""

from __future__ import annotations

import random
import time

import xarray as xr

from phasesweep import jobs, sweep
from phasesweep.api import open as open_dataset
from phasesweep.cache import Cache
from phasesweep.cluster import ClusterFile
from tests.faults.counts import counted, times
from tests.faults.disturbed import LOST, Disturbed

KILLS = times("kills", short=1, long=110)
POINTS = times("points", short=160, long=2000)
MINUTES = times("minutes", short=5, long=30)
# Workers, drivers and schedulers are killed in the short version too, by tests/test_sweep.py.
SHARES = (
    {"worker": 0.8, "driver": 0.1, "scheduler": 0.05, "snakemake": 0.05}
    if KILLS > 4
    else {"snakemake": 1.0}
)


def undisturbed(disturbed: Disturbed, monkeypatch) -> None:
    """The same sweep in one go and in this process, beside the disturbed one."""
    monkeypatch.setenv("TOY_HURRY", "1")
    monkeypatch.setattr(sweep, "SMALL_SECONDS", 1e9)
    data = str(disturbed.folder / "undisturbed")
    options = {"cluster": ClusterFile(), "method": None, "shard": (1, 1), "manifest": None}
    assert jobs.run_sweep(str(disturbed.sweep), data=data, **options).computed == disturbed.points
    jobs.make_dataset(str(disturbed.sweep), data=data, manifest=None)
    monkeypatch.undo()


def without_provenance(data) -> xr.Dataset:
    dataset = open_dataset("disturbed", "measure", data=data).load()
    dataset.attrs.pop("computed")
    return dataset.drop_vars("seconds")


def test_a_disturbed_sweep_ends_as_an_undisturbed_one(tmp_path, monkeypatch):
    pause = 0.25 if KILLS <= 4 else 0.5
    disturbed = Disturbed(tmp_path, POINTS, pause, random.Random(20261127))
    undisturbed(disturbed, monkeypatch)
    wanted = {kind: max(1, round(share * KILLS)) for kind, share in SHARES.items()}
    deadline, cache = time.monotonic() + 60 * MINUTES, Cache(disturbed.data / "cache")
    kept = 0
    while sum(disturbed.kills.values()) < KILLS and time.monotonic() < deadline:
        assert kept < POINTS, f"the sweep was done after {disturbed.kills}: give it more pause"
        left = {kind: wanted[kind] - disturbed.kills[kind] for kind in wanted}
        kind = disturbed.random.choices(list(left), [max(n, 0) for n in left.values()])[0]
        if kind == "worker":
            disturbed.kill_workers(min(left["worker"], 20))
        else:
            disturbed.kinds()[kind]()
        present = len(cache.present("toy", "measure", 1))
        assert present >= kept, "points that were stored are gone"
        kept = present
    disturbed.finish()

    report = cache.verify()
    assert report.sound, report.findings
    assert len(cache.present("toy", "measure", 1)) == POINTS
    alike = without_provenance(tmp_path / "undisturbed")
    assert without_provenance(disturbed.data).identical(alike)
    computed = disturbed.computed()
    assert len(computed) == POINTS
    extra = sum(computed.values()) - POINTS
    allowed = sum(LOST[kind] * count for kind, count in disturbed.kills.items())
    assert extra <= allowed
    assert "Traceback" not in disturbed.told()
    counted("kills", dict(disturbed.kills))
    counted("points of the disturbed sweep", POINTS)
    counted("computed again, of what flushes allow", f"{extra} of {allowed}")
    counted("most often computed", max(computed.values()))
    reached = sum(disturbed.kills.values())
    assert reached >= KILLS, f"only {reached} kills in {MINUTES} minutes: give it more"
