"""What a job of a batch system asks for follows what its points declare."""

from __future__ import annotations

import pytest

from phasesweep.cluster import ClusterFile
from phasesweep.cluster.local import shares
from phasesweep.requests import SAFETY, USABLE, Needs, memory_mib, runtime_minutes

GIB = 2**30
DAY = 1440


def test_time_follows_the_declared_seconds_of_a_core():
    def minutes(seconds, threads=1, attempt=1, at_most=DAY):
        needs = Needs(seconds, 0)
        return runtime_minutes(needs, threads=threads, attempt=attempt, at_most=at_most)

    assert minutes(0) == 10
    hour = minutes(3600)
    assert hour == SAFETY * 60 + 5
    assert minutes(3600, threads=4) == SAFETY * 15 + 5
    # A job that ran out of time gets more, up to what a partition allows.
    assert minutes(3600, attempt=2) == 2 * hour
    assert minutes(3600, attempt=2, at_most=200) == 200


@pytest.mark.parametrize("threads", [1, 4, 16])
@pytest.mark.parametrize("batch", [0.01, 0.3, 1.0, 1.5, 6.0])
def test_the_workers_of_a_job_take_the_batches_it_was_asked_for(monkeypatch, threads, batch):
    from phasesweep.cluster import local

    asked = memory_mib(Needs(0, batch * GIB), threads=threads, attempt=1) * 2**20
    monkeypatch.setattr(local, "available_cores", lambda: threads)
    monkeypatch.setattr(local, "available_memory", lambda: asked)
    workers, memory = shares(ClusterFile(), batch * GIB)
    assert workers == threads
    assert memory >= batch * GIB
    # No more than needed: a worker, its margin, and one driver.
    assert asked <= (threads * max(2, 1.3 * batch) + 1.3) * GIB / USABLE


def test_a_second_attempt_gets_twice_the_memory():
    needs = Needs(0, GIB)
    assert memory_mib(needs, threads=4, attempt=2) == 2 * memory_mib(needs, threads=4, attempt=1)
