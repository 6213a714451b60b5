"""The pictures of a report as inline SVG: histograms, centroids from two sides, the tables'
hierarchy.

Belongs here: geometry, and words for people who cannot see it. Does not: counting (`measures.py`,
`gather.py`), the marks of SVG (`templates/drawings.svg`, which escapes every text), styles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, log10
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from syndb_pipeline.contract.tables import TABLES, Kind, ordered
from syndb_pipeline.report.measures import BINS, Cloud, Histogram
from syndb_pipeline.state.results import Relation
from syndb_pipeline.state.store import Rows

COLOURS: Final = [
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
]
"""A colour for each of SynDB's tables, dark enough on white."""


@cache
def environment() -> Environment:
    """The templates of reports, in which every value is escaped."""
    return Environment(
        loader=PackageLoader("syndb_pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _draw(picture: str, **values: Any) -> Markup:
    """The macro `picture` of the template; numbers with one digit, which is a tenth of a pixel."""
    macro = getattr(environment().get_template("drawings.svg").module, picture)
    return Markup(macro(**values))


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
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}"


# -- histograms

_WIDTH: Final = 300
_MARGIN: Final = 14
_BASE: Final = 66
_WIDEST_BAR: Final = 40
_LEVELS: Final = "·▁▂▃▄▅▆▇█"


def histogram(measured: Histogram) -> Markup:
    """The bars of one column; those outside its bounds, and the bounds, in red. Empty without
    values.
    """
    if not measured.counts:
        return Markup("")
    first, last = measured.low, measured.high
    span = last - first
    known = ((value, _on_axis(measured, value)) for value in (measured.lower, measured.upper))
    bounds = [(value, on) for value, on in known if value is not None and on is not None]
    # A bound near the data belongs into the picture; one far away would squash them.
    low = min([first, *(on for _, on in bounds if first - 0.35 * span <= on <= first)])
    high = max([last, *(on for _, on in bounds if last <= on <= last + 0.35 * span)])
    left, right = _MARGIN + 18 * bool(measured.below), _WIDTH - _MARGIN - 18 * bool(measured.above)

    def place(on: float) -> float:
        share = (on - low) / (high - low) if high > low else 0.5
        return left + share * (right - left)

    top = max(*measured.counts, measured.below, measured.above)

    def bar(x: float, width: float, count: int, kind: str, side: str = "") -> tuple[Any, ...]:
        height = max(1.5, count / top * (_BASE - 12))
        return x, _BASE - height, width, height, kind, f"{count:,}{side}"

    bars = []
    step = span / len(measured.counts)
    for index, count in enumerate(measured.counts):
        start = place(first + index * step) if span > 0 else place(low) - 5
        end = place(first + (index + 1) * step) if span > 0 else place(low) + 5
        kind = "out" if _breaks(measured, first + (index + 0.5) * step) else "in"
        width = min(_WIDEST_BAR, max(1.0, end - start - 0.8))
        if count:
            bars.append(bar(max(start, (start + end - _WIDEST_BAR) / 2), width, count, kind))
    if measured.below:
        kind = "out" if _breaks(measured, None, -1) else "far"
        bars.append(bar(_MARGIN, 10, measured.below, kind, " below"))
    if measured.above:
        kind = "out" if _breaks(measured, None, 1) else "far"
        bars.append(bar(_WIDTH - _MARGIN - 10, 10, measured.above, kind, " above"))
    return _draw(
        "histogram",
        title=in_words(measured),
        bars=bars,
        bounds=[(place(on), short(value)) for value, on in bounds if low <= on <= high],
        ticks=[(place(on), short(value)) for on, value in _ticks(measured)],
    )


def in_characters(measured: Histogram) -> str:
    """The bars of one column as a line of text, with a stroke where its bounds are."""
    span, top = measured.high - measured.low, max(measured.counts, default=0)
    places = (_on_axis(measured, value) for value in (measured.lower, measured.upper))
    shares = [(on - measured.low) / (span or 1) for on in places if on is not None]
    strokes = {round(share * len(measured.counts)) for share in shares if 0 <= share <= 1}
    bars = (
        "┃" * (at in strokes) + _LEVELS[ceil(count / top * (len(_LEVELS) - 1))]
        for at, count in enumerate(measured.counts)
    )
    low, high = (10**on if measured.log else on for on in (measured.low, measured.high))
    return f"{short(low)} {''.join(bars)} {short(high)}"


def _on_axis(measured: Histogram, value: float | None) -> float | None:
    """The place of `value` on the axis; None for what a logarithmic axis cannot show."""
    if value is None or not measured.log:
        return value
    return log10(value) if value > 0 else None


def _breaks(measured: Histogram, on: float | None, side: int = 0) -> bool:
    """Whether a place, or all beyond the axis's end on `side`, is outside the bounds."""
    lower, upper = _on_axis(measured, measured.lower), _on_axis(measured, measured.upper)
    if on is not None:
        return (lower is not None and on < lower) or (upper is not None and on > upper)
    if side < 0:
        return measured.lower is not None and (lower is None or lower >= measured.low)
    return upper is not None and upper <= measured.high


def _ticks(measured: Histogram) -> list[tuple[float, float]]:
    """Places on the axis that have a number below: its ends and its middle."""
    low, high = measured.low, measured.high
    whole = measured.column.kind is Kind.INTEGER and len(measured.counts) < BINS
    if whole and low % 1 == 0.5:  # bins of whole numbers, one each
        return [(on, on) for on in dict.fromkeys((low + 0.5, high - 0.5))]
    places = dict.fromkeys((low, (low + high) / 2, high))
    return [(on, 10**on if measured.log else on) for on in places]


def in_words(measured: Histogram) -> str:
    """What its picture shows."""
    assert measured.minimum is not None and measured.maximum is not None
    column, ends = measured.column, (measured.minimum, measured.maximum)
    facts = (
        (
            f"{column.name} of {measured.table}: {measured.given:,} values from {short(ends[0])} to"
            f" {short(ends[1])}"
        ),
        f" {column.unit}" if column.unit else "",
        f", median {short(measured.median)}" if measured.median is not None else "",
        f"; allowed {column.bounds}" if column.bounds else "",
        f"; {measured.outside:,} outside" if measured.outside else "",
        " (logarithmic)" if measured.log else "",
    )
    return "".join(facts)


# -- centroids

_INNER: Final = 324
"""Width and height of the view, in px."""

_FARTHEST: Final = 1e150
"""Nanometres to the end of what can be drawn; further points are beyond the view."""


def scatter(clouds: Sequence[Cloud], horizontal: int, vertical: int) -> Markup:
    """Sampled centroids, one axis against another (0 x, 1 y, 2 z), on the same scale.

    A colour for each table. The view is the middle 99 % of each axis; points beyond it are counted.
    """
    pairs: dict[str, list[tuple[float, float]]] = {}
    for cloud in clouds:
        places = ((point[horizontal], point[vertical]) for point in cloud.points)
        pairs[cloud.table] = [(a, b) for a, b in places if a is not None and b is not None]
    everything = [pair for found in pairs.values() for pair in found]
    if not everything:
        return Markup("")
    (left, right), (low, high) = (_middle([pair[axis] for pair in everything]) for axis in (0, 1))
    span = max(right - left, high - low) or 1.0
    across, up = (left + right) / 2 - span / 2, (low + high) / 2 - span / 2
    drawn, beyond = [], 0
    for table, found in pairs.items():
        inside = [(a, b) for a, b in found if across <= a <= across + span and up <= b <= up + span]
        beyond += len(found) - len(inside)
        # Downwards, as in the images the coordinates come from.
        scaled = [((a - across) / span * _INNER, (b - up) / span * _INNER) for a, b in inside]
        dots = "".join(f"M{44 + x:.0f} {8 + y:.0f}h0" for x, y in scaled)
        drawn.append((dots, colour(table), table))
    axes = ("xyz"[horizontal], "xyz"[vertical])
    title = f"Centroids, {axes[0]} to the right and {axes[1]} downwards, of {', '.join(pairs)}"
    shares = (0.0, 0.5, 1.0)
    return _draw(
        "scatter",
        title=f"{title}; {beyond:,} are beyond the view" if beyond else title,
        drawn=drawn,
        size=3 if len(everything) > 600 else 5,
        ticks=[
            [short((start + span * share) / 1000) for share in shares] for start in (across, up)
        ],
        axes=axes,
    )


def _middle(values: list[float]) -> tuple[float, float]:
    """The ends of the middle 99 % of `values`, with a little room."""
    known = sorted(max(-_FARTHEST, min(_FARTHEST, value)) for value in values)
    low, high = known[int(len(known) * 0.005)], known[-1 - int(len(known) * 0.005)]
    room = (high - low) * 0.04
    return low - room, high + room


# -- the hierarchy

_CHARACTER: Final = 6.7
"""Width of a character of 12 px, in px, about."""

_HEAD: Final = 46
_LINE: Final = 16
_GAP: Final = 78
_BESIDE: Final = 26


@dataclass(slots=True)
class _Box:
    """A table and a line for each of its references."""

    table: str
    rows: Rows | None
    relations: list[Relation]
    x: float = 0
    y: float = 0

    @property
    def counts(self) -> str:
        if self.rows is None:
            return "not read"
        passed, rejected = self.rows.passed, self.rows.rejected
        words = f"{passed:,} row{'' if passed == 1 else 's'}"
        return f"{words}, {rejected:,} rejected" if rejected else words

    @property
    def lines(self) -> list[str]:
        return [
            f"{each.column} to {each.target}: {each.resolved:,}"
            + (f", {each.orphans:,} orphan{'' if each.orphans == 1 else 's'}" * bool(each.orphans))
            for each in self.relations
        ]

    @property
    def width(self) -> float:
        return max(120, *(len(text) * _CHARACTER + 24 for text in (self.counts, *self.lines)))

    @property
    def height(self) -> float:
        return _HEAD + _LINE * len(self.relations)


def hierarchy(tables: Mapping[str, Rows], relations: Sequence[Relation]) -> Markup:
    """Tables from top to bottom by SynDB's levels, with a line in each and to its target for each
    of its references.
    """
    boxes: dict[str, _Box] = {}
    levels: dict[int, list[_Box]] = {}
    for name in ordered({*tables, *(relation.target for relation in relations)}):
        own = [relation for relation in relations if relation.table == name]
        boxes[name] = _Box(name, tables.get(name), own)
        levels.setdefault(TABLES[name].level, []).append(boxes[name])
    widths = {
        level: sum(box.width + _BESIDE for box in row) - _BESIDE for level, row in levels.items()
    }
    total, y = max(widths.values(), default=0) + 48, 42.0
    for level, row in sorted(levels.items()):
        x = (total - widths[level]) / 2
        for box in row:
            box.x, box.y = x, y
            x += box.width + _BESIDE
        y += max(box.height for box in row) + _GAP
    words = "; ".join(map(_relation_in_words, relations))
    return _draw(
        "hierarchy",
        width=total,
        height=y - _GAP + 12,
        words=f"{words}." if words else "No table is related to another.",
        edges=[
            (_path(boxes[each.target], box, (at + 1) / (len(box.relations) + 1)), each.target)
            for box in boxes.values()
            for at, each in enumerate(box.relations)
        ],
        boxes=list(boxes.values()),
        colour=colour,
        in_words=_relation_in_words,
    )


def _relation_in_words(relation: Relation) -> str:
    lost = f", {relation.orphans:,} not found" if relation.orphans else ""
    return (
        f"{relation.column} of {relation.table} leads to {relation.target}: {relation.resolved:,}"
        f" rows resolved{lost}"
    )


def _path(target: _Box, box: _Box, share: float) -> str:
    """The line from a `share` of the width of `box` up to `target`; over the tops to a table of
    the same level.
    """
    x, end_x = box.x + box.width * share, target.x + target.width * (0.7 - 0.4 * share)
    higher = target.y < box.y
    end_y = target.y + target.height if higher else target.y
    bend = max(26.0, (box.y - end_y) / 2) if higher else 30.0
    turns = (x, box.y - bend, end_x, end_y + bend if higher else end_y - bend)
    points = " ".join(f"{point:.1f}" for point in (*turns, end_x, end_y))
    return f"M{x:.1f} {box.y:.1f}C{points}"
