"""One SLURM for all the tests of this folder, installed if need be."""

from __future__ import annotations

import os

import pytest

from tests.slurm.daemons import SlurmError, install, running_slurm


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A running SLURM; its programs are first on the path of every process that is started."""
    try:
        install()
        # Not below the folder of the tests, which only its owner may enter.
        with running_slurm(tmp_path_factory.mktemp("slurm")) as started:
            before = dict(os.environ)
            os.environ.update(started.environment)
            try:
                yield started
            finally:
                os.environ.clear()
                os.environ.update(before)
    except SlurmError as error:
        pytest.exit(f"make test-slurm: {error}", returncode=2)


@pytest.fixture(autouse=True)
def _nothing_is_left(slurm):
    """Every test ends with an empty queue, or cancels what a failure left in it."""
    yield
    for job in slurm.jobs():
        slurm.call("scancel", job)
