"""How each curve of the generic figure looks, and the legend that says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from phasesweep.figures import style as look
from phasesweep.figures.plan import Datasets, Plan
from phasesweep.figures.series import Drawn, attributes_of, components_of

if TYPE_CHECKING:
    from matplotlib.lines import Line2D


def marker_of(datasets: Datasets, plan: Plan, item: Drawn) -> str:
    """A marker for each simulation, size and component of a matrix."""
    simulations = [m for m, d in datasets.items() if d.attrs["role"] == "simulation"]
    variant = item.shape + max(1, len(plan.shapes)) * item.component
    number = simulations.index(item.method) + len(simulations) * variant
    return look.MARKERS[number % len(look.MARKERS)]


def dashes_of(datasets: Datasets, plan: Plan, item: Drawn) -> Any:
    """A line style for each role, value of the style axis and component of a matrix."""
    kinds = look.DASHES[datasets[item.method].attrs["role"]]
    return kinds[(item.style + max(1, len(plan.styles)) * item.component) % len(kinds)]


def handles(
    drawn: list[Drawn],
    datasets: Datasets,
    plan: Plan,
    colour_of: Mapping[Any, Any],
    marked: Mapping[str, Iterable[str]],
) -> Iterator[Line2D]:
    """The entries of the legend: methods, colours, line styles, thresholds.

    `marked` names for every threshold line the thresholds that it stands for.
    """
    for method in dict.fromkeys(d.method for d in drawn):
        dataset = datasets[method]
        first = next(d for d in drawn if d.method == method)
        role = str(dataset.attrs["role"])
        text = f"{look.words(method)} ({role})"
        if role == "simulation":
            yield look.handle(text, linestyle="none", marker=marker_of(datasets, plan, first))
        else:
            yield look.handle(text, linestyle=look.DASHES[role][0])
    used = dict.fromkeys(d.hue for d in drawn)
    for hue in [h for h in plan.hues if h in used]:
        text = look.value_text(str(plan.hue), attributes_of(datasets, str(plan.hue)), hue)
        yield look.handle(text, color=colour_of[hue], linewidth=3.5)
    for index, value in enumerate(plan.styles):
        text = look.value_text(str(plan.style), attributes_of(datasets, str(plan.style)), value)
        yield look.handle(text, linestyle=look.DASHES["theory"][index], color=look.FAINT)
    for value in plan.shapes:
        item = next((d for d in drawn if _is_point_at(d, datasets, plan, value)), None)
        if item:
            text = look.value_text(str(plan.shape), attributes_of(datasets, str(plan.shape)), value)
            marker = marker_of(datasets, plan, item)
            yield look.handle(text, linestyle="none", marker=marker, color=look.FAINT)
    yield from _component_handles(drawn, datasets, plan)
    for name, same in marked.items():
        dashes = look.THRESHOLD_DASHES[plan.thresholds.index(name) % 4]
        symbols = (look.symbol(attributes_of(datasets, n)) or look.words(n) for n in same)
        text = " = ".join(symbols)
        yield look.handle(text, color=look.FAINT, linestyle=dashes, linewidth=0.9)


def _is_point_at(item: Drawn, datasets: Datasets, plan: Plan, value: Any) -> bool:
    simulated = datasets[item.method].attrs["role"] == "simulation"
    return simulated and item.component == 0 and plan.shapes[item.shape] == value


def _component_handles(drawn: list[Drawn], datasets: Datasets, plan: Plan) -> Iterator[Line2D]:
    """Which look is which entry of a matrix."""
    several = {d.observable for d in drawn if d.component}
    for number in sorted({d.component for d in drawn if d.observable in several}):
        item = next(d for d in drawn if d.component == number and d.observable in several)
        entry = components_of(datasets[item.method], item.observable, plan)[number]
        text = f"entry {', '.join(str(i + 1) for i in entry.values() if i >= 0)}"
        appearance: dict[str, Any] = {"color": look.FAINT}
        line = next((d for d in drawn if d.component == number and _is_line(datasets, d)), None)
        point = next(
            (d for d in drawn if d.component == number and not _is_line(datasets, d)), None
        )
        appearance["linestyle"] = dashes_of(datasets, plan, line) if line else "none"
        if point:
            appearance["marker"] = marker_of(datasets, plan, point)
            appearance["markerfacecolor"] = look.FAINT if number == 0 else "white"
        yield look.handle(text, **appearance)


def _is_line(datasets: Datasets, item: Drawn) -> bool:
    return datasets[item.method].attrs["role"] != "simulation"
