"""The command line: what a person types and what Snakemake's rules call.

Exit status: 0 done; 1 something failed that was asked correctly (points, a disk); 2 misuse, with
one sentence and nothing written; 130 or 143 stopped by Ctrl-C or SIGTERM, with everything
computed kept.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from phasesweep.sweep import Report

DATA = click.option(
    "--data",
    type=click.Path(file_okay=False),
    help="Data folder [default: $PHASESWEEP_DATA or data/].",
)
CLUSTER = click.option(
    "--cluster", help="Cluster file, or the address of a running Dask scheduler."
)
TIME_LIMIT = click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True, max=31_536_000),
    help="Seconds after which a batch, and then each of its points alone, is given up.",
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A sweep is a file in config/sweeps, or the name of a system for its small demo sweep.",
)
@click.version_option(package_name="phasesweep")
def cli() -> None:
    """Distributed sweeps and a cache of results for the statistical physics of learning."""


@cli.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def systems(name: str | None, as_json: bool) -> None:
    """List systems, or the methods, axes, observables and sources of one."""
    from phasesweep import describe

    _say(describe.systems(as_json) if name is None else describe.system(name, as_json))


@cli.command()
@click.argument("system")
@click.argument("method")
@click.argument("axes", nargs=-1, metavar="[AXIS=VALUES]...")
@click.option("--json", "form", flag_value="json", help="One JSON object per point.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values.")
@click.option("--plot", type=click.Path(dir_okay=False), help="Also draw a figure (.png or .pdf).")
@TIME_LIMIT
@CLUSTER
@DATA
def solve(
    system: str,
    method: str,
    axes: tuple[str, ...],
    form: str | None,
    plot: str | None,
    time_limit: float | None,
    cluster: str | None,
    data: str | None,
) -> None:
    """Compute points now, through the cache: phasesweep solve SYSTEM METHOD alpha=0.5:3:26 kappa=0.

    AXIS=VALUES is a value, a list a,b,c, or a range FROM:TO:POINTS with :log for log spacing.
    """
    from phasesweep import api, arguments, describe
    from phasesweep.cluster import read_cluster
    from phasesweep.figures import check_target, draw_dataset, save
    from phasesweep.limits import Limits
    from phasesweep.paths import data_root
    from phasesweep.sweepfile import find_method, find_system

    declared = find_method(find_system(system), method)
    forms = arguments.axis_forms(declared, axes)
    target = check_target(plot) if plot else None
    cache = api.Cache(data_root(data) / "cache")
    asked, blocks, report = api.solve_points(
        *(system, method, forms, cache),
        cluster=read_cluster(cluster),
        quiet=not sys.stderr.isatty(),
        limits=Limits().override(seconds=time_limit),
    )
    _say(describe.records(list(api.records(asked, blocks)), declared, form))
    if target:
        from phasesweep.dataset import method_dataset
        from phasesweep.query import decode_words

        save(draw_dataset(decode_words(method_dataset(asked, blocks))), target)
        click.echo(f"figure: {target}", err=True)
    _exit_on_failures(report)


@cli.command()
@click.argument("sweeps", nargs=-1, required=True, metavar="SWEEP...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@DATA
def plan(sweeps: tuple[str, ...], as_json: bool, data: str | None) -> None:
    """Count points: total, cached, failed, missing, with time and memory. Runs nothing.

    SWEEP may also be a configuration (config/config.yaml): then all its sweeps are counted.
    """
    from phasesweep import describe

    _say(describe.plan(sweeps, data, as_json))


@cli.command()
@click.argument("sweep")
@CLUSTER
@click.option("--method", help="Run this method only.")
@click.option("--shard", help="Run part I of N of the points, as I/N.")
@click.option(
    "--manifest", type=click.Path(dir_okay=False), help="Write what was done to this file."
)
@click.option("--allow-failed", is_flag=True, help="Exit with 0 even if points failed.")
@TIME_LIMIT
@click.option(
    "--attempts",
    type=click.IntRange(1, 100),
    help="How often a point that raises or is late is tried.",
)
@click.option("--keep-failed", is_flag=True, help="Leave points that failed in an earlier run.")
@click.option("--parent", type=int, help="Stop, with everything kept, when that process is gone.")
@DATA
def run(
    sweep: str,
    cluster: str | None,
    method: str | None,
    shard: str | None,
    manifest: str | None,
    allow_failed: bool,
    time_limit: float | None,
    attempts: int | None,
    keep_failed: bool,
    parent: int | None,
    data: str | None,
) -> None:
    """Compute the missing points of a SWEEP and store them."""
    from phasesweep import arguments, jobs
    from phasesweep.cluster import read_cluster
    from phasesweep.runs import end_with

    failed = "keep" if keep_failed else None
    with end_with(parent):
        report = jobs.run_sweep(
            sweep,
            data=data,
            cluster=read_cluster(cluster),
            method=method,
            shard=arguments.shard(shard),
            manifest=manifest,
            limits={"seconds": time_limit, "attempts": attempts, "failed": failed},
        )
    click.echo(
        f"{report.asked:,} points asked, {report.found:,} found, {report.computed:,} computed, "
        f"{report.failed:,} failed"
    )
    if report.damaged:
        click.echo(
            f"{len(report.damaged):,} damaged segments were left out, and their points computed "
            "again: phasesweep cache verify names them",
            err=True,
        )
    if not allow_failed:
        _exit_on_failures(report)


@cli.command()
@click.option("--once", is_flag=True, help="Print once [default unless on a terminal].")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    help="Seconds between two looks.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, once.")
@click.option("--forget", is_flag=True, help="Remove what runs that died have left, and end.")
@DATA
def watch(once: bool, interval: float, as_json: bool, forget: bool, data: str | None) -> None:
    """Show what runs now on a data folder, from any terminal: points, rate, time left, cluster."""
    from phasesweep import watch as watching
    from phasesweep.paths import data_root

    watching.watch(
        data_root(data), once=once, interval=interval, as_json=as_json, forgetting=forget
    )


@cli.command()
@click.argument("sweep")
@click.option(
    "--manifest", type=click.Path(dir_okay=False), help="Write what was done to this file."
)
@DATA
def dataset(sweep: str, manifest: str | None, data: str | None) -> None:
    """Make the dataset of a SWEEP from the cache (or show the one of that name)."""
    from phasesweep import jobs

    _say(jobs.make_dataset(sweep, data=data, manifest=manifest))


@cli.command()
@click.argument("system")
@click.argument("method")
@click.argument("axes", nargs=-1, metavar="[AXIS=VALUES]...")
@click.option("--json", "form", flag_value="json", help="One JSON object per point.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values.")
@click.option(
    "--over-seeds", is_flag=True, help="Means, medians and fractions over seeds, not the points."
)
@DATA
def query(
    system: str,
    method: str,
    axes: tuple[str, ...],
    form: str | None,
    over_seeds: bool,
    data: str | None,
) -> None:
    """List the points of a method that the cache holds. Computes nothing.

    AXIS=VALUES is a value, a list a,b,c, or FROM:TO with both ends included.
    """
    from phasesweep import arguments, describe

    ask = describe.query_over_seeds if over_seeds else describe.query
    _say(ask(system, method, arguments.selection(axes), form, data))


@cli.command()
@click.argument("sweep")
@click.option("--csv", type=click.Path(dir_okay=False), help="Also write the table to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@DATA
def thresholds(sweep: str, csv: str | None, as_json: bool, data: str | None) -> None:
    """The threshold table of a SWEEP's dataset: theory beside simulation, in standard errors."""
    from phasesweep import jobs

    _say(jobs.make_thresholds(sweep, data=data, csv=csv, as_json=as_json))


@cli.command()
@click.argument("name")
@click.option(
    "--output", type=click.Path(file_okay=False), help="Folder [default: figures/ of the data]."
)
@DATA
def figure(name: str, output: str | None, data: str | None) -> None:
    """Draw the figure NAME (workflow/figures/NAME.py, or a sweep) from datasets alone."""
    from phasesweep import figures

    for path in figures.make(name, data, output):
        click.echo(path)


@cli.command()
@click.argument("config", type=click.Path())
@click.option(
    "--since", type=float, default=0.0, help="Count as computed what came after this time."
)
@DATA
def summary(config: str, since: float, data: str | None) -> None:
    """Say where the figures, tables and datasets of a configuration are, with counts of points."""
    from phasesweep import jobs

    _say(jobs.summary(config, since=since, data=data))


@cli.group()
def cache() -> None:
    """Look at, check, tidy and move the cache."""


def _cache_command(*parameters: Callable) -> Callable:
    """A subcommand of `cache`: the function gets the Cache, and returns (text, bad?)."""

    def wrap(function: Callable) -> Callable:
        @functools.wraps(function)
        def command(data: str | None, **options: Any) -> None:
            from phasesweep.cache import Cache
            from phasesweep.paths import data_root

            text, failed = function(Cache(data_root(data) / "cache"), **options)
            _say(text)
            if failed:
                sys.exit(1)

        decorated = DATA(command)
        for parameter in reversed(parameters):
            decorated = parameter(decorated)
        return cache.command(name=function.__name__.strip("_"))(decorated)

    return wrap


@_cache_command()
def info(store: Any) -> tuple[str, bool]:
    """Points, segments and bytes of every system and method."""
    from phasesweep import upkeep

    return upkeep.info(store)


@_cache_command()
def verify(store: Any) -> tuple[str, bool]:
    """Read every segment; name damaged, foreign and orphan files and the points they held."""
    from phasesweep import upkeep

    return upkeep.verify(store)


@_cache_command()
def compact(store: Any) -> tuple[str, bool]:
    """Merge small segments into large ones."""
    from phasesweep import upkeep

    return upkeep.compact(store)


@_cache_command(click.option("--damaged", is_flag=True, help="Also what verify set aside."))
def gc(store: Any, damaged: bool) -> tuple[str, bool]:
    """Remove temporary files that killed writers left."""
    from phasesweep import upkeep

    return upkeep.gc(store, damaged)


@_cache_command(
    click.argument("file", type=click.Path(dir_okay=False)),
    click.option("--system", help="Only this system."),
    click.option("--method", help="Only this method."),
)
def export(store: Any, file: str, system: str | None, method: str | None) -> tuple[str, bool]:
    """Write segments into one archive FILE, to take to another machine."""
    from phasesweep import upkeep

    return upkeep.export(store, file, system, method)


@_cache_command(click.argument("file", type=click.Path(dir_okay=False)))
def import_(store: Any, file: str) -> tuple[str, bool]:
    """Merge an exported FILE; the same key with other numbers is reported, never overwritten."""
    from phasesweep import upkeep

    return upkeep.import_(store, file)


def _say(text: str) -> None:
    if text:
        click.echo(text)


def _exit_on_failures(report: Report) -> None:
    if not report.failed:
        return
    first = report.failures[0]
    click.echo(
        f"Error: {report.failed:,} points failed; the first: {json.dumps(first['point'])}: "
        f"{first['message']}",
        err=True,
    )
    sys.exit(1)


def main() -> None:
    """Run the command line; turn what a person can mend into one sentence."""
    from phasesweep.errors import StoppedError, UserError

    def stop(*_: object) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, stop)
    try:
        cli.main(standalone_mode=False)
    except UserError as error:
        _fail(str(error), 2)
    except StoppedError as error:
        _fail(str(error), 1)
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        _fail(error.format_message() + hint, 2)
    except click.Abort:
        _stopped()
    except KeyboardInterrupt:
        _stopped()
    except BrokenPipeError:
        # The reader (head, less) has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        # A name that no file can have was typed; a full disk was not.
        typed = error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP)
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}", 2 if typed else 1)
    except RuntimeError as error:
        # CacheError (a full disk, say) is a RuntimeError; its sentence is meant for a person.
        if type(error).__name__ != "CacheError":
            raise
        _fail(str(error), 1)


def _stopped() -> None:
    _fail("stopped; every flushed point is kept, and running again computes only the rest", 130)


def _fail(sentence: str, status: int) -> None:
    # What was given is shown as it was, but cannot write over the terminal or begin a line.
    words = " ".join(sentence.split())
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
    click.echo(f"Error: {shown}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
