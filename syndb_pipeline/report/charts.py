"""Measurements of a report as inline SVG: histograms with their bounds, centroids from two sides.

Belongs here: geometry and its words for people who cannot see it. Does not: counting
(`measures.py`), styles (the template).

Every text goes through `Markup.format`, which escapes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log10
from typing import Final

from markupsafe import Markup

from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.report.measures import Cloud, Histogram

COLOURS: Final = (
    "#1f5fa8",
    "#b45309",
    "#0f766e",
    "#7e3aa8",
    "#a3155b",
    "#4d6b12",
    "#155e75",
    "#8a5a00",
    "#5b3fd1",
    "#166534",
    "#9f1d1d",
)
"""A colour for each of SynDB's tables, dark enough on white."""


def colour(table: str) -> str:
    return COLOURS[list(TABLES).index(table) % len(COLOURS)]


def short(value: float) -> str:
    """`value` in few characters, e.g. 12,500, 0.031 or 3.8e+08."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


# -- histograms

_WIDTH: Final = 300
_HEIGHT: Final = 96
_MARGIN: Final = 14
_BASE: Final = 66
_WIDEST_BAR: Final = 40


def histogram(measured: Histogram) -> Markup:
    """The bars of one column; those outside its bounds, and the bounds themselves, in red. Empty
    when no value can be drawn.
    """
    if not measured.counts:
        return Markup("")
    span = measured.high - measured.low
    marks = [
        (value, on)
        for value in (measured.lower, measured.upper)
        if value is not None and (on := _on_axis(measured, value)) is not None
    ]
    # A bound near the data belongs into the picture; one far away would squash them.
    low = min(
        [measured.low, *(on for _, on in marks if measured.low - 0.35 * span <= on <= measured.low)]
    )
    high = max(
        [
            measured.high,
            *(on for _, on in marks if measured.high <= on <= measured.high + 0.35 * span),
        ]
    )
    width = high - low
    ends = (18 if measured.below else 0, 18 if measured.above else 0)
    inner = _WIDTH - 2 * _MARGIN - sum(ends)

    def place(on_axis: float) -> float:
        return _MARGIN + ends[0] + ((on_axis - low) / width * inner if width > 0 else inner / 2)

    top = max(*measured.counts, measured.below, measured.above)
    step = span / len(measured.counts)
    bars = []
    for index, count in enumerate(measured.counts):
        if count:
            left = place(measured.low + index * step) if span > 0 else place(low) - 5
            right = place(measured.low + (index + 1) * step) if span > 0 else place(low) + 5
            broken = _breaks(measured, measured.low + (index + 0.5) * step)
            bars.append(
                _bar(
                    max(left, (left + right - _WIDEST_BAR) / 2),
                    min(_WIDEST_BAR, max(1.0, right - left - 0.8)),
                    count / top,
                    "out" if broken else "in",
                    f"{count:,}",
                )
            )
    if measured.below:
        bars.append(
            _bar(
                _MARGIN,
                10,
                measured.below / top,
                "out" if _breaks(measured, None, -1) else "far",
                f"{measured.below:,} below",
            )
        )
    if measured.above:
        told = f"{measured.above:,} above"
        bars.append(
            _bar(
                _WIDTH - _MARGIN - 10,
                10,
                measured.above / top,
                "out" if _breaks(measured, None, 1) else "far",
                told,
            )
        )
    lines = [_bound(place(on), value) for value, on in marks if low <= on <= high]
    ticks = _ticks(measured, place)
    axis = Markup('<path class="axis" d="M{} {b}H{}"/>').format(_MARGIN, _WIDTH - _MARGIN, b=_BASE)
    return Markup(
        '<svg class="histogram" viewBox="0 0 {} {}" role="img"><title>{}</title>{}</svg>'
    ).format(_WIDTH, _HEIGHT, _told(measured), Markup("").join([*bars, axis, *lines, *ticks]))


def _on_axis(measured: Histogram, value: float) -> float | None:
    """Where `value` lies on the axis; None for what a logarithmic axis cannot show."""
    if not measured.log:
        return value
    return log10(value) if value > 0 else None


def _breaks(measured: Histogram, on_axis: float | None, side: int = 0) -> bool:
    """Whether a place on the axis, or everything beyond its end on `side`, lies outside the
    bounds.
    """
    lower = None if measured.lower is None else _on_axis(measured, measured.lower)
    upper = None if measured.upper is None else _on_axis(measured, measured.upper)
    if on_axis is None:
        if side < 0:
            return measured.lower is not None and (lower is None or lower >= measured.low)
        return upper is not None and upper <= measured.high
    return (lower is not None and on_axis < lower) or (upper is not None and on_axis > upper)


def _bar(x: float, width: float, share: float, kind: str, told: str) -> Markup:
    height = max(1.5, share * (_BASE - 12))
    return Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}"'
        ' height="{:.1f}"><title>{}</title></rect>'
    ).format(kind, x, _BASE - height, width, height, told)


def _bound(x: float, value: float) -> Markup:
    return Markup('<path class="bound" d="M{x:.1f} 4V{b}"><title>bound: {v}</title></path>').format(
        x=x, b=_BASE + 5, v=short(value)
    )


def _ticks(measured: Histogram, place: Callable[[float], float]) -> list[Markup]:
    """Three numbers below the axis: its ends and its middle."""
    values = (
        [measured.low, (measured.low + measured.high) / 2, measured.high]
        if measured.high > measured.low
        else [measured.low]
    )
    whole = len(measured.counts) < 32 and measured.low % 1 == 0.5  # bins of whole numbers, one each
    ticks = []
    for index, on_axis in enumerate(values):
        value = 10**on_axis if measured.log else on_axis
        if whole:
            value = [measured.low + 0.5, None, measured.high - 0.5][index] or 0.0
            if index == 1:
                continue
            on_axis = value
        x = place(on_axis)
        anchor = "middle" if 40 < x < _WIDTH - 40 else "start" if x <= 40 else "end"
        left = _MARGIN if anchor == "start" else _WIDTH - _MARGIN if anchor == "end" else x
        ticks.append(
            Markup(
                '<path class="axis" d="M{x:.1f} {b}v4"/><text class="tick" x="{l:.1f}" y="{y}"'
                ' text-anchor="{a}">{t}</text>'
            ).format(x=x, b=_BASE, l=left, y=_BASE + 19, a=anchor, t=short(value))
        )
    return ticks


def _told(measured: Histogram) -> str:
    assert measured.minimum is not None and measured.maximum is not None
    unit = f" {measured.column.unit}" if measured.column.unit else ""
    told = (
        f"{measured.column.name} of {measured.table}: {measured.given:,} values from"
        f" {short(measured.minimum)} to "
    )
    told += f"{short(measured.maximum)}{unit}"
    told += f", median {short(measured.median)}" if measured.median is not None else ""
    told += f"; allowed {measured.column.bounds}" if measured.column.bounds else ""
    told += f"; {measured.outside:,} outside" if measured.outside else ""
    return told + (" (logarithmic)" if measured.log else "")


# -- centroids

_SIDE: Final = 380
_EDGE: Final = 44
_FARTHEST: Final = 1e150
"""Nanometres to the end of what can be drawn; further points lie beyond the view."""


def scatter(clouds: Sequence[Cloud], horizontal: int, vertical: int) -> Markup:
    """Sampled centroids, one axis against another (0 x, 1 y, 2 z), a colour for each table; the
    same scale on both axes.

    The view is the middle 99 % of each axis; points beyond it are not drawn and are counted.
    """
    names = "xyz"
    pairs = {
        c.table: [
            (a, b)
            for p in c.points
            if (a := p[horizontal]) is not None and (b := p[vertical]) is not None
        ]
        for c in clouds
    }
    everything = [pair for found in pairs.values() for pair in found]
    if not everything:
        return Markup("")
    (left, right), (low, high) = (_middle([pair[axis] for pair in everything]) for axis in (0, 1))
    span = max(right - left, high - low) or 1.0
    inner = _SIDE - _EDGE - 12
    across, up = (left + right) / 2 - span / 2, (low + high) / 2 - span / 2
    drawn, beyond = [], 0
    for table, found in pairs.items():
        inside = [(a, b) for a, b in found if across <= a <= across + span and up <= b <= up + span]
        beyond += len(found) - len(inside)
        # Downwards, as in the images the coordinates come from.
        dots = "".join(
            f"M{_EDGE + (a - across) / span * inner:.0f} {8 + (b - up) / span * inner:.0f}h0"
            for a, b in inside
        )
        size = 3 if len(everything) > 600 else 5
        drawn.append(
            Markup(
                '<path class="dots" d="{}" stroke="{}" stroke-width="{}"><title>{}</title></path>'
            ).format(dots, colour(table), size, table)
        )
    ticks = []
    for share in (0.0, 0.5, 1.0):
        place = inner * share
        anchor = ("start", "middle", "end")[round(share * 2)]
        ticks.append(
            Markup('<text class="tick" x="{:.0f}" y="{}" text-anchor="{}">{}</text>').format(
                _EDGE + place, inner + 24, anchor, _micrometres(across + span * share)
            )
        )
        ticks.append(
            Markup('<text class="tick" x="{}" y="{:.0f}" text-anchor="end">{}</text>').format(
                _EDGE - 6, 14 + place * 0.985, _micrometres(up + span * share)
            )
        )
    rightwards, downwards = names[horizontal], names[vertical]
    title = (
        f"Centroids, {rightwards} to the right and {downwards} downwards, of {', '.join(pairs)}"
        + (f"; {beyond:,} lie beyond the view" if beyond else "")
    )
    return Markup(
        '<svg class="scatter" viewBox="0 0 {w} {h}" role="img"><title>{title}</title><rect'
        ' class="frame" x="{e}" y="8" width="{i}" height="{i}"/>{body}<text class="tick"'
        ' x="{cx:.0f}" y="{ly}" text-anchor="middle">{a} in µm</text><text class="tick"'
        ' transform="translate(11 {cy:.0f}) rotate(-90)" text-anchor="middle">{b} in'
        " µm</text></svg>"
    ).format(
        w=_SIDE,
        h=inner + 50,
        title=title,
        e=_EDGE,
        i=inner,
        body=Markup("").join([*drawn, *ticks]),
        cx=_EDGE + inner / 2,
        ly=inner + 42,
        a=rightwards,
        b=downwards,
        cy=8 + inner / 2,
    )


def _middle(values: list[float]) -> tuple[float, float]:
    """The ends of the middle 99 % of `values`, with a little room."""
    known = sorted(max(-_FARTHEST, min(_FARTHEST, value)) for value in values)
    low, high = known[int(len(known) * 0.005)], known[-1 - int(len(known) * 0.005)]
    room = (high - low) * 0.04
    return low - room, high + room


def _micrometres(nanometres: float) -> str:
    return short(nanometres / 1000)
