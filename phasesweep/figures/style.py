"""How figures look: sizes in inches, letters, colours, labels, and the legend below the panels.

A panel is one journal column wide (3.4 inches) with letters of 8 points or more. Theory is a line,
an exact formula a dashed line, simulation points with error bars. Values in an order (dimensions,
margins, step sizes) take a colour scale of even lightness steps; words take colours that
colour-blind readers can tell apart.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

PANEL_WIDTH = 3.4
PANEL_HEIGHT = 2.3
LINE_HEIGHT = 0.16
INK = "0.15"
FAINT = "0.45"
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: dict[str, tuple[Any, ...]] = {
    "theory": ("-", (0, (6, 1.5, 1, 1.5)), (0, (1, 1.2)), (0, (6, 1, 1, 1, 1, 1))),
    "exact": ((0, (3.5, 1.5)), (0, (6, 2)), (0, (2, 1)), (0, (8, 1.5))),
}
THRESHOLD_DASHES = ((0, (1, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (2, 3)), (0, (6, 1.5)))
# Okabe and Ito's colours without the yellow, which is too light for a thin line.
WORD_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", INK)
RC = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "figure.titlesize": 9.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "axes.linewidth": 0.7,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.6,
    "lines.markeredgewidth": 0.8,
    "errorbar.capsize": 0,
    "axes.formatter.useoffset": False,
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
    "pdf.fonttype": 42,
    "svg.hashsalt": "phasesweep",
}


def style() -> AbstractContextManager[None]:
    """The settings to draw and to save under, restored afterwards."""
    import matplotlib as mpl

    return mpl.rc_context(RC)  # type: ignore[arg-type]


def panels(
    *, rows: int = 1, columns: int = 1, share_y: bool = False, width: float = PANEL_WIDTH
) -> tuple[Figure, np.ndarray]:
    """An empty figure and its panels, an array of shape (rows, columns); `width` is one panel's."""
    from matplotlib.figure import Figure

    size = (width * columns, PANEL_HEIGHT * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey="row" if share_y else False)
    return figure, axes


def colours(values: Sequence[Any]) -> dict[Any, Any]:
    """A colour for each value: an ordered scale for numbers, distinct colours for words."""
    import matplotlib as mpl

    if any(isinstance(value, str) for value in values):
        return {v: WORD_COLOURS[i % len(WORD_COLOURS)] for i, v in enumerate(values)}
    # The light end of the scale is left out: yellow on white cannot be read.
    places = np.linspace(0.0, 0.82, len(values)) if len(values) != 1 else np.array([0.3])
    return {v: mpl.colormaps["viridis"](p) for v, p in zip(values, places, strict=True)}


def title(figure: Figure, text: str) -> None:
    """The title of a figure, in as many lines as its width asks for; the figure grows."""
    if text:
        width = int(figure.get_figwidth() * 19)
        lines = textwrap.wrap(text, width)
        figure.set_figheight(figure.get_figheight() + LINE_HEIGHT * len(lines))
        figure.suptitle("\n".join(lines))


def words(name: str) -> str:
    """A name as words."""
    return name.replace("_", " ")


def label(name: str, attributes: Mapping[str, Any], wrap: int = 28) -> str:
    """An axis label: the name in words, its symbol, its unit.

    Where the name only spells the symbol (alpha) the description stands in for it, if it is short.
    """
    unit = attributes.get("units", "1")
    sign = symbol(attributes)
    short = re.fullmatch(r"\$\\mathrm\{(\w+)\}\$", sign)
    if short and name.startswith(short[1]):
        sign = ""  # a shortened name, not a symbol
    described = re.split("[;:,(]", str(attributes.get("long_name", "")))[0].strip()
    spelled = name.split("_")[0] in sign.split("_")[0]
    text = described if spelled and 0 < len(described) <= 2 * wrap else words(name)
    parts = [*textwrap.wrap(text, wrap)]
    if sign:
        parts[-1] += f"  {sign}"
    if unit not in ("1", ""):
        parts[-1] += f"  ({unit})"
    return "\n".join(parts)


def value_text(name: str, attributes: Mapping[str, Any], value: Any) -> str:
    """One value of an axis, for legends and panel titles: a word, or symbol = number."""
    if isinstance(value, str):
        return words(value if len(value) <= 24 else f"{value[:16]}…")
    if is_sequence(attributes):
        return f"{words(name)}, list {value + 1}"
    sign = symbol(attributes) or words(name)
    return f"{sign} = {value:.4g}" if isinstance(value, float) else f"{sign} = {value}"


def is_sequence(attributes: Mapping[str, Any]) -> bool:
    """Whether a coordinate holds the positions of sequences (lists of times), and no numbers."""
    return str(attributes.get("comment", "")).startswith("position of the sequence")


def symbol(attributes: Mapping[str, Any]) -> str:
    """The symbol of an axis or observable as math text, or nothing if there is no valid one."""
    from matplotlib.mathtext import MathTextParser

    bare = str(attributes.get("symbol", "")).strip("$")
    try:
        if bare:
            MathTextParser("path").parse(f"${bare}$")
    except ValueError:
        return ""
    return f"${bare}$" if bare else ""


def handle(text: str, **appearance: Any) -> Line2D:
    """One entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=text, **({"color": INK} | appearance))


def legend(figure: Figure, handles: Iterable[Line2D], *, heading: str = "") -> None:
    """One legend for all panels, below them; the figure grows by its height."""
    entries = list(handles)
    if not entries:
        return
    widest = max(_length(str(entry.get_label())) for entry in entries)
    columns = max(1, min(len(entries), int(figure.get_figwidth() * 21 / (widest + 6))))
    rows = -(-len(entries) // columns)
    columns = -(-len(entries) // rows)
    figure.set_figheight(figure.get_figheight() + LINE_HEIGHT * (rows + 1 + bool(heading)))
    figure.legend(handles=entries, loc="outside lower center", ncols=columns, title=heading or None)


def _length(text: str) -> int:
    """About how many letters wide a text with math in it will be."""
    plain = text.replace("$", "").replace("\\", "").replace("_", "").replace("{", "")
    return len(plain.replace("}", ""))


def plain_log(ax: Axes) -> None:
    """A logarithmic y axis of a decade or two, with plain numbers 1, 2, 5, 10 … on it."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def error_points(
    ax: Axes,
    x: Any,
    y: Any,
    errors: Any = None,
    *,
    marker: str = "o",
    color: Any = INK,
    filled: bool = True,
    **more: Any,
) -> None:
    """Points with error bars; `errors` is one array, or a pair (below, above)."""
    ax.errorbar(
        x,
        y,
        yerr=errors,
        linestyle="none",
        marker=marker,
        color=color,
        markerfacecolor=color if filled else "white",
        elinewidth=0.8,
        **more,
    )


def mark_threshold(ax: Axes, x: float, *, index: int = 0, color: Any = FAINT) -> None:
    """A vertical line at a threshold, behind the data, unless it lies outside the panel."""
    low, high = sorted(ax.get_xlim())
    if low <= x <= high:
        ax.axvline(x, color=color, linestyle=THRESHOLD_DASHES[index % 4], linewidth=0.9, zorder=0.5)


PHASES = {"impossible": "#f3dcd3", "hard": "#fbf0cf", "easy": "#e3efe0"}


def shade_phases(ax: Axes, alpha_it: float, alpha_amp: float) -> None:
    """Shade a panel along alpha: impossible below alpha_it, hard up to alpha_amp, easy above.

    Nothing is shaded where the thresholds do not exist (NaN).
    """
    if not (np.isfinite(alpha_it) and np.isfinite(alpha_amp)):
        return
    low, high = ax.get_xlim()
    ends = np.clip([low, alpha_it, alpha_amp, high], low, high)
    for phase, left, right in zip(PHASES, ends[:-1], ends[1:], strict=True):
        if right > left:
            ax.axvspan(left, right, color=PHASES[phase], linewidth=0, zorder=0)
    ax.set_xlim(low, high)


def phase_handles() -> list[Any]:
    """Entries of a legend for the shading."""
    from matplotlib.patches import Patch

    return [Patch(color=colour, label=phase) for phase, colour in PHASES.items()]


def colour_map(figure: Figure, ax: Axes, x: Any, y: Any, values: Any, *, text: str = "") -> None:
    """A map of fractions from 0 (dark) to 1 (light) on the plane, shape (len(y), len(x)).

    Cells lie around the given places, which need not be equally spaced; NaN is left white.
    """
    mesh = ax.pcolormesh(
        _edges(np.asarray(x, float)),
        _edges(np.asarray(y, float)),
        np.ma.masked_invalid(np.asarray(values, float)),
        cmap="cividis",
        vmin=0,
        vmax=1,
        linewidth=0,
        rasterized=True,
        zorder=0,
    )
    if text:
        bar = figure.colorbar(mesh, ax=ax, pad=0.02, aspect=28)
        bar.set_label(text)
        bar.outline.set_linewidth(0.6)


def _edges(places: np.ndarray) -> np.ndarray:
    """Edges of cells around places."""
    if len(places) == 1:
        return places[0] + np.array([-0.5, 0.5])
    middle = 0.5 * (places[1:] + places[:-1])
    return np.concatenate([[2 * places[0] - middle[0]], middle, [2 * places[-1] - middle[-1]]])
