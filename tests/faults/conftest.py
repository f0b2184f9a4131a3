"""Prints what was counted at the end."""

from __future__ import annotations

from tests.faults.counts import COUNTED, LONG


def pytest_terminal_summary(terminalreporter):
    if LONG and COUNTED:
        terminalreporter.section("faults, counted")
        for what, value in COUNTED.items():
            terminalreporter.write_line(f"{what}: {value}")
