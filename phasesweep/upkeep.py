"""What `phasesweep cache ...` prints: each function returns (text, whether something is wrong)."""

from __future__ import annotations

from pathlib import Path

from phasesweep.cache import Cache, CacheError
from phasesweep.describe import table
from phasesweep.errors import UserError
from phasesweep.paths import IDENTITY

SHOWN_KEYS = 3


def info(cache: Cache) -> tuple[str, bool]:
    """Points, segments and bytes of every method."""
    entries = cache.info()
    rows = [
        [
            *(entry.system, entry.method, entry.version),
            *(f"{n:,}" for n in (entry.points, entry.failed, entry.segments, entry.damaged)),
            f"{entry.bytes / 2**20:,.2f} MiB",
        ]
        for entry in entries
    ]
    headers = ["system", "method", "version", "points", "failed", "segments", "damaged", "size"]
    if not rows:
        return f"the cache {cache.root} is empty", False
    total = sum(entry.points for entry in entries)
    aligned = table(rows, headers, colalign=("left", "left", *["right"] * 6))
    return f"{aligned}\n\n{total:,} points in {cache.root}", False


def verify(cache: Cache) -> tuple[str, bool]:
    """Damaged, foreign and orphan files, with the points they held."""
    report = cache.verify()
    lines = [f"{report.segments:,} segments with {report.rows:,} rows are whole"]
    for finding in report.findings:
        held = "points unknown" if finding.keys is None else f"{len(finding.keys):,} points"
        lines.append(
            f"{finding.kind}: {finding.path}: {finding.reason} ({held}, {finding.lost} lost)"
        )
        keys = [] if finding.keys is None else [key.tobytes().hex() for key in finding.keys]
        if keys:
            more = f" and {len(keys) - SHOWN_KEYS:,} more" if len(keys) > SHOWN_KEYS else ""
            lines.append(f"  keys {', '.join(keys[:SHOWN_KEYS])}{more}")
    lost = sum(finding.lost for finding in report.findings)
    if lost:
        # Snakemake then runs its jobs again; they find all but the lost points.
        (cache.root / IDENTITY).unlink(missing_ok=True)
        lines.append(f"{lost:,} points are lost; running their sweeps again computes just those")
    if report.of("orphan") or report.of("set aside"):
        lines.append("phasesweep cache gc removes orphans; with --damaged also what is set aside")
    return "\n".join(lines), not report.sound


def compact(cache: Cache) -> tuple[str, bool]:
    """What was merged, and what could not be."""
    done = cache.compact()
    lines = [f"left as it is: {name}: {reason}" for name, reason in done.damaged.items()]
    lines.append(f"{done.before:,} segments became {done.after:,}")
    return "\n".join(lines), bool(done.damaged)


def gc(cache: Cache, damaged: bool) -> tuple[str, bool]:
    """What was removed."""
    removed = cache.gc(damaged=damaged)
    lines = [f"removed {path}" for path in removed.paths]
    lines.append(f"{len(removed.paths):,} files, {removed.bytes / 2**20:,.2f} MiB freed")
    return "\n".join(lines), False


def _mended(error: CacheError) -> Exception:
    """Misuse as such; a disk that refuses is none."""
    return error if isinstance(error.__cause__, OSError) else UserError(str(error))


def export(cache: Cache, file: str, system: str | None, method: str | None) -> tuple[str, bool]:
    """What was written."""
    try:
        done = cache.export(Path(file), system=system, method=method)
    except CacheError as error:
        raise _mended(error) from error.__cause__
    lines = [f"left out {name}: {reason}" for name, reason in done.damaged.items()]
    lines.append(f"{done.path}: {done.rows:,} points in {done.segments:,} segments")
    return "\n".join(lines), bool(done.damaged)


def import_(cache: Cache, file: str) -> tuple[str, bool]:
    """What was taken in, every conflict, and what was left out."""
    try:
        done = cache.import_(Path(file))
    except CacheError as error:
        raise _mended(error) from error.__cause__
    lines = [
        f"conflict: {system} {method} v{version} key {key.hex()}: {difference}"
        for (system, method, version), key, difference in done.conflicts
    ]
    lines += [f"damaged: {name}: {reason}" for name, reason in done.damaged.items()]
    lines += [
        f"left out: {system} {method} v{version} key {key.hex()}: it is not that of its parameters"
        for (system, method, version), key in done.strange
    ]
    lines.append(
        f"{done.rows:,} points imported, {done.known:,} known already, "
        f"{len(done.conflicts):,} in conflict (kept as they were here)"
    )
    return "\n".join(lines), bool(done.conflicts or done.damaged or done.strange)
