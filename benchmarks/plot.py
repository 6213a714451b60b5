"""The plot of the scale series: what a row costs, and the most memory, over the rows. One SVG file,
readable on light and dark pages.

Belongs here: geometry. Does not: reading results (`results.py`), the page around it (`page.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil, floor, log10
from typing import Final

from benchmarks.bars import cost_per_row, millions
from benchmarks.results import Session, middle

_WIDTH: Final = 720
_HEIGHT: Final = 330
_TOP: Final = 74
_BASE: Final = 268
_PANEL: Final = 264
_LEFTS: Final = (64, 412)

_STYLE: Final = """\
text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2937 }
.title { font-size: 15px; font-weight: 600 }
.small { font-size: 12px; fill: #4b5563 }
.value { font-weight: 600 }
.value, .note { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round }
.page { fill: #ffffff; stroke: #d1d5db }
.grid { stroke: #e5e7eb; fill: none }
.axis { stroke: #6b7280; fill: none }
.band { fill: #1f5fa8; fill-opacity: .1 }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
.cost { stroke: #1f5fa8 } .dot.cost { fill: #1f5fa8 }
.memory { stroke: #b45309 } .dot.memory { fill: #b45309 }
.run { fill: none; stroke-width: 1; stroke-opacity: .55 }
.bound { stroke: #6b7280; stroke-dasharray: 5 4; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e5e7eb }
  .small { fill: #b6bdc9 }
  .value, .note { stroke: #161b22 }
  .page { fill: #161b22; stroke: #3b434f }
  .grid { stroke: #2b323c }
  .axis, .bound { stroke: #8b949e }
  .band { fill: #6cb0f5; fill-opacity: .14 }
  .cost { stroke: #6cb0f5 } .dot.cost { fill: #6cb0f5 }
  .memory { stroke: #f0a04b } .dot.memory { fill: #f0a04b }
}
"""


@dataclass(frozen=True)
class Series:
    """One panel: a value for each number of rows, the single runs behind it, and levels to compare
    it with.
    """

    kind: str
    title: str
    told: str
    unit: str
    points: Mapping[int, float]
    runs: Mapping[int, Sequence[float]]
    band: tuple[float, float, str] | None = None
    bounds: Mapping[str, float] = field(default_factory=dict)


def scale_plot(sizes: Mapping[str, Session]) -> str:
    """The SVG of cost per row and of peak memory over all measured sizes. Needs at least one."""
    measured = {session["rows"]: session for session in sizes.values()}
    cost = {rows: cost_per_row(session) for rows, session in measured.items()}
    limit = measured[max(measured)]["facts"]["memory_limit"] / 1e9
    panels = [
        Series(
            "cost",
            "Cost of a row",
            "rings: the rounds; dots: their medians",
            "µs",
            cost,
            {
                rows: [run["seconds"] * 1e6 / each["total_rows"] for run in each["runs"]]
                for rows, each in measured.items()
            },
            band=(min(cost.values()), min(cost.values()) * 1.25, "25 % above the lowest"),
        ),
        Series(
            "memory",
            "Peak memory",
            "dashed: the run's memory limit, and the bar",
            "GB",
            {rows: middle(each["runs"], "memory") / 1e9 for rows, each in measured.items()},
            {
                rows: [run["memory"] / 1e9 for run in each["runs"]]
                for rows, each in measured.items()
            },
            bounds={"limit": limit, "bar": limit * 1.5},
        ),
    ]
    told = "; ".join(
        f"{panel.title}: "
        + ", ".join(
            f"{value:.2f} {panel.unit} at {millions(rows)} rows"
            for rows, value in panel.points.items()
        )
        for panel in panels
    )
    body = "\n".join(
        line for panel, left in zip(panels, _LEFTS, strict=True) for line in _panel(panel, left)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
        f' height="{_HEIGHT}"'
        f' role="img">\n<title>{escape(told)}</title>\n<style>\n{_STYLE}</style>\n<rect'
        f' class="page" x=".5" y=".5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}"'
        f' rx="8"/>\n{body}\n</svg>\n'
    )


def _panel(series: Series, left: int) -> list[str]:
    highest = max(
        *series.points.values(),
        *(value for found in series.runs.values() for value in found),
        *series.bounds.values(),
        series.band[1] if series.band else 0,
    )
    steps = _steps(highest * 1.08)
    rows = sorted(series.points)
    low, high = log10(rows[0]), log10(rows[-1])

    def across(count: int) -> float:
        # Room at both ends, so that no point lies on an axis.
        return (
            left + 26 + ((log10(count) - low) / (high - low) if high > low else 0.5) * (_PANEL - 52)
        )

    def up(value: float) -> float:
        return _BASE - value / steps[-1] * (_BASE - _TOP)

    right, middle_y = left + _PANEL, (_TOP + _BASE) / 2
    lines = [
        _text(left, 30, series.title, "title", "start"),
        _text(left, 50, series.told, "small", "start"),
    ]
    digits = max(0, -floor(log10(steps[1])) if steps[1] < 1 else 0)
    for step in steps:
        lines.append(
            f'<path class="{"axis" if step == 0 else "grid"}" d="M{left} {up(step):.1f}H{right}"/>'
        )
        lines.append(_text(left - 8, up(step) + 4, f"{step:.{digits}f}", "small", "end"))
    lines.append(f'<g transform="translate({left - 44} {middle_y}) rotate(-90)">')
    lines.append(_text(0, 0, f"{series.title.lower()}, {series.unit}", "small", "middle") + "</g>")
    if series.band:
        bottom, top, told = series.band
        lines.append(
            f'<rect class="band" x="{left}" y="{up(top):.1f}" width="{_PANEL}"'
            f' height="{up(bottom) - up(top):.1f}"/>'
        )
        lines.append(_text(right - 6, up(bottom) + 22, f"band: up to {told}", "small note", "end"))
    for name, value in series.bounds.items():
        lines.append(f'<path class="bound" d="M{left} {up(value):.1f}H{right}"/>')
        lines.append(_text(right + 5, up(value) + 4, name, "small", "start"))
    lines.extend(
        f'<circle class="run {series.kind}" cx="{across(count):.1f}" cy="{up(value):.1f}" r="3"/>'
        for count in rows
        for value in series.runs[count]
    )
    way = " ".join(
        f"{'L' if index else 'M'}{across(count):.1f} {up(series.points[count]):.1f}"
        for index, count in enumerate(rows)
    )
    lines.append(f'<path class="line {series.kind}" d="{way}"/>')
    shown = _readable([across(count) for count in rows])
    for index, count in enumerate(rows):
        x, y = across(count), up(series.points[count])
        lines.append(f'<path class="axis" d="M{x:.1f} {_BASE}v5"/>')
        lines.append(f'<circle class="dot {series.kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
        if index in shown:
            lines.append(_text(x, _BASE + 20, millions(count), "small", "middle"))
            # Below the dots where there are bounds, which lie above them.
            lines.append(
                _text(
                    x,
                    y + (22 if series.bounds else -11),
                    f"{series.points[count]:.2f}",
                    "value",
                    "middle",
                )
            )
    lines.append(
        _text(
            left + _PANEL / 2,
            _BASE + 44,
            "rows of the largest tables (logarithmic)",
            "small",
            "middle",
        )
    )
    return lines


def _text(x: float, y: float, words: str, kind: str, anchor: str) -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"'
        f' text-anchor="{anchor}">{escape(words)}</text>'
    )


def _readable(places: Sequence[float], room: float = 44) -> set[int]:
    """Which of ascending places can have a label without touching the next; the last always has
    one.
    """
    shown: list[int] = []
    for index in range(len(places) - 1, -1, -1):
        if not shown or places[shown[-1]] - places[index] >= room:
            shown.append(index)
    return set(shown)


def _steps(highest: float) -> list[float]:
    """From 0 to at least `highest` in four to seven even steps of 1, 2 or 5."""
    size = 10 ** floor(log10(highest)) / 2
    step = next(each for factor in (0.2, 0.4, 1, 2, 4) if highest / (each := size * factor) <= 6)
    return [round(step * number, 10) for number in range(ceil(highest / step) + 1)]
