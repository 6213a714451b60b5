"""The hierarchy of a dataset's tables as inline SVG, with counts on its edges.

Belongs here: where boxes, labels and lines stand. Does not: counting (`gather.py`), styles (the
template).

Every text goes through `Markup.format`, which escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from syndb_pipeline.contract.tables import TABLES, ordered
from syndb_pipeline.report.charts import colour
from syndb_pipeline.state.relation import Relation
from syndb_pipeline.state.store import Rows

_CHARACTER: Final = 6.7
"""Width of a character of 12 px, in px, about."""


@dataclass(slots=True)
class _Box:
    table: str
    x: float
    y: float
    width: float
    edges: list[
        tuple[Relation, float, float]
    ]  # with the middle and width of its label, from the box's left


_BOX_HEIGHT: Final = 46
_LABEL_HEIGHT: Final = 50
_LEVEL_GAP: Final = 78
_BESIDE: Final = 26


def hierarchy(tables: Mapping[str, Rows], relations: Sequence[Relation]) -> Markup:
    """Tables from top to bottom by SynDB's levels; above each, one label for every column that
    leads from it, with its counts.
    """
    names = ordered({*tables, *(relation.target for relation in relations)})
    levels = sorted({TABLES[name].level for name in names})
    rows = [
        [
            _box(name, _told(tables.get(name)), [r for r in relations if r.table == name])
            for name in names
            if TABLES[name].level == level
        ]
        for level in levels
    ]
    widths = [sum(box.width for box in row) + _BESIDE * (len(row) - 1) for row in rows]
    total = max(widths, default=0) + 48
    boxes: dict[str, _Box] = {}
    y = 12.0
    for number, (row, width) in enumerate(zip(rows, widths, strict=True)):
        y += (
            (_LEVEL_GAP + _LABEL_HEIGHT)
            if number
            else (_LABEL_HEIGHT + 30 if any(box.edges for box in row) else 0)
        )
        x = (total - width) / 2
        for box in row:
            box.x, box.y = x, y
            boxes[box.table] = box
            x += box.width + _BESIDE
        y += _BOX_HEIGHT
    height = y + 12
    lines = [
        _edge(boxes, box, relation, box.x + middle)
        for box in boxes.values()
        for relation, middle, _ in box.edges
    ]
    labels = [_label(box, *edge) for box in boxes.values() for edge in box.edges]
    drawn = [_table(box, tables.get(box.table)) for box in boxes.values()]
    return Markup(
        '<svg class="hierarchy" viewBox="0 0 {w:.0f} {h:.0f}" width="{w:.0f}" height="{h:.0f}"'
        ' role="img" aria-labelledby="h-title h-desc"><title id="h-title">The tables and how their'
        ' rows are related</title><desc id="h-desc">{desc}</desc>{body}</svg>'
    ).format(
        w=total,
        h=height,
        desc=_in_words(relations),
        body=Markup("").join([*lines, *drawn, *labels]),
    )


def _in_words(relations: Sequence[Relation]) -> str:
    told = [
        f"{r.column} of {r.table} leads to {r.target}: {r.resolved:,} rows resolved"
        + (f", {r.orphans:,} not found" if r.orphans else "")
        for r in relations
    ]
    return "; ".join(told) + "." if told else "No table is related to another."


def _box(table: str, told: str, relations: list[Relation]) -> _Box:
    widths = [
        max(
            len(r.column) * 5.9,
            len(f"to {r.target}") * 5.9,
            (len(f"{r.resolved:,}") + (len(f"{r.orphans:,} orphans") + 2 if r.orphans else 0))
            * _CHARACTER,
        )
        + 14
        for r in relations
    ]
    width = max(
        len(table) * 7.6 + 28, len(told) * 6.8 + 24, 120, sum(widths) + 8 * (len(widths) + 1)
    )
    gap = (width - sum(widths)) / (len(widths) + 1)
    edges, x = [], gap
    for relation, own in zip(relations, widths, strict=True):
        edges.append((relation, x + own / 2, own))
        x += own + gap
    return _Box(table, 0, 0, width, edges)


def _told(rows: Rows | None) -> str:
    if rows is None:
        return "not read"
    passed = f"{rows.passed:,} row{'' if rows.passed == 1 else 's'}"
    return f"{passed}, {rows.rejected:,} rejected" if rows.rejected else passed


def _table(box: _Box, rows: Rows | None) -> Markup:
    return Markup(
        '<g><rect class="box{missing}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h}" rx="7"'
        ' stroke="{stroke}"/><text class="name" x="{cx:.1f}" y="{y1:.1f}">{name}</text><text'
        ' class="rows{bad}" x="{cx:.1f}" y="{y2:.1f}">{told}</text></g>'
    ).format(
        missing=" missing" if rows is None else "",
        bad=" bad" if rows is None or rows.rejected else "",
        x=box.x,
        y=box.y,
        w=box.width,
        h=_BOX_HEIGHT,
        stroke=colour(box.table),
        cx=box.x + box.width / 2,
        y1=box.y + 19,
        y2=box.y + 36,
        name=box.table,
        told=_told(rows),
    )


def _edge(boxes: dict[str, _Box], box: _Box, relation: Relation, x: float) -> Markup:
    """From the label above `box` up to its target; over the tops to a table of the same level."""
    target = boxes[relation.target]
    start = box.y - _LABEL_HEIGHT - 4
    # Lines that arrive from the left end on the left, so that they do not cross at the table.
    share = 0.5 + 0.36 * max(-1.0, min(1.0, (x - target.x - target.width / 2) / 420))
    end_x = target.x + target.width * share
    if target.y < box.y:
        end_y = target.y + _BOX_HEIGHT
        bend = max(26.0, (start - end_y) / 2)
        path = (
            f"M{x:.1f} {start:.1f}C{x:.1f} {start - bend:.1f} {end_x:.1f} {end_y + bend:.1f}"
            f" {end_x:.1f} {end_y:.1f}"
        )
    else:
        rise = start - 30
        end_x = target.x + (target.width - 9 if x > target.x else 9)
        path = (
            f"M{x:.1f} {start:.1f}C{x:.1f} {rise:.1f} {end_x:.1f} {rise:.1f} {end_x:.1f}"
            f" {target.y:.1f}"
        )
    return Markup('<path class="edge" stroke="{}" d="{}"/>').format(colour(relation.target), path)


def _label(box: _Box, relation: Relation, middle: float, width: float) -> Markup:
    x, y = box.x + middle, box.y - _LABEL_HEIGHT - 4
    orphans = Markup('<tspan class="bad" dx="6">{:,} orphan{}</tspan>').format(
        relation.orphans, "" if relation.orphans == 1 else "s"
    )
    return Markup(
        '<g><title>{title}</title><rect class="label{bad}" x="{left:.1f}" y="{y:.1f}"'
        ' width="{w:.1f}" height="{h}" rx="5"/><text class="column" x="{x:.1f}"'
        ' y="{y1:.1f}">{column}</text><text class="column" x="{x:.1f}" y="{y3:.1f}"'
        ' fill="{fill}">to {target}</text><text class="count" x="{x:.1f}"'
        ' y="{y2:.1f}">{count}{orphans}</text></g>'
    ).format(
        title=_in_words([relation]),
        bad=" bad" if relation.orphans else "",
        left=x - width / 2,
        y=y,
        w=width,
        h=_LABEL_HEIGHT,
        x=x,
        y1=y + 14,
        y3=y + 27,
        y2=y + 43,
        fill=colour(relation.target),
        target=relation.target,
        column=relation.column,
        count=f"{relation.resolved:,}",
        orphans=orphans if relation.orphans else "",
    )
