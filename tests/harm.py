"""What a printed setting does when somebody pastes it: the dataset is run before and after, and
what was right before must still be there.

Belongs here: pasting, and the comparison of two runs. Does not: the datasets; whether a setting
makes its finding go away.

Right is what ingest read in rows that no error names. For each of the lab's columns its values are
compared as a multiset, so that it does not matter where a row comes to lie. What a setting may
change is what it says: `units` multiplies, `missing` empties the cells that are the marker,
`combine` merges the rows of a pair, `ignore` leaves a column out, `key` puts a parent's key in
front of a key. Whatever else is lost must be in a finding of the second run.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from syndb_pipeline.base.engine import parquet, quote
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Rows
from syndb_pipeline.state.tables import contract_columns, ingested, rejected_places
from tests.lab import run_stages
from tests.shortcuts import connected

CHECKING = ("ingest", "validate", "assign_ids", "join_relations")


@dataclass(frozen=True)
class Seen:
    """A checked dataset. `right` has the cells of rows that no error names by (table, the lab's
    column): text, or a number in nm; `values` those of all rows.
    """

    accepted: bool
    findings: list[Finding]
    tables: dict[str, Rows]
    right: dict[tuple[str, str], Counter[Any]]
    values: dict[tuple[str, str], Counter[Any]]
    pairs: dict[str, set[tuple[str, str]]]
    sent: dict[tuple[str, str], float]
    """The sum of each number of a table of pairs as it is packed."""

    def says(self, table: str, lab: str) -> bool:
        """Whether some finding is about the lab's column, or names it in its cause."""
        about = [finding for finding in self.findings if finding.table == table]
        return any(
            finding.column == lab or re.search(rf"\b{re.escape(lab)}\b", finding.message)
            for finding in about
        )


def look(context: Context) -> Seen:
    """Check the dataset and read what came of it. Raises what the stages raise."""
    sealed = run_stages(context)["check_integrity"]
    sources = SourceMap.read(context.store.stage("ingest"))
    right: dict[tuple[str, str], Counter[Any]] = {}
    values: dict[tuple[str, str], Counter[Any]] = {}
    pairs: dict[str, set[tuple[str, str]]] = {}
    with connected() as connection:
        wrong = rejected_places(context, [context.store.stage(stage) for stage in CHECKING])
        for table, path in ingested(context).items():
            named = f"SELECT row_number FROM ({wrong}) WHERE tbl = '{table}'"
            rows = (
                f"(SELECT *, file_row_number NOT IN ({named}) AS _right FROM"
                f" {rows_of(path, row_number=True)})"
            )
            for name in contract_columns(table, path):
                labs = {source.columns.get(name, name) for source in sources.tables[table]}
                cells = connection.execute(
                    f"SELECT {quote(name)}, _right FROM {rows} WHERE {quote(name)} IS NOT NULL"
                ).fetchall()
                for lab in labs:
                    values.setdefault((table, lab), Counter()).update(value for value, _ in cells)
                    right.setdefault((table, lab), Counter()).update(
                        value for value, is_right in cells if is_right
                    )
            pair = TABLES[table].pair
            if pair and set(pair) <= set(contract_columns(table, path)):
                ends = ", ".join(map(quote, pair))
                pairs[table] = set(
                    connection.execute(f"SELECT {ends} FROM {rows} WHERE _right").fetchall()
                )
    accepted = sealed.details.verdict == "accepted"
    sent = _sent(context, list(pairs)) if accepted else {}
    return Seen(accepted, list(sealed.findings), dict(sealed.tables), right, values, pairs, sent)


def _sent(context: Context, tables: list[str]) -> dict[tuple[str, str], float]:
    run_stages(context, "package")
    found = {}
    with connected() as connection:
        for table in tables:
            path = context.store.stage("package") / "tables" / f"{table}.parquet"
            for name, column in contract_columns(table, path).items():
                if column.kind in (Kind.NUMBER, Kind.INTEGER):
                    total = f"SELECT coalesce(sum({quote(name)}), 0) FROM {parquet(path)}"
                    (found[table, name],) = connection.execute(total).fetchone() or (0,)
    return found


def pasted(config: Path, block: str) -> None:
    """Merge a block of settings into the dataset's YAML as a person does: a key that is there is
    replaced.
    """
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    for table, options in yaml.safe_load(block)["tables"].items():
        content["tables"][table] = content["tables"].get(table, {}) | options
    config.write_text(
        yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8"
    )


def harms(context: Context) -> Iterator[str]:
    """Paste each setting that the findings of the dataset print, by itself, and run again: what
    that would do to the lab's data.
    """
    before = look(context)
    for finding in before.findings:
        for block in finding.settings:
            yield from (
                f"{finding.code}: {harm}\n{block}"
                for harm in harm_of(context, before, finding, block)
            )


def harm_of(context: Context, before: Seen, finding: Finding, block: str) -> list[str]:
    """What is lost when `block`, which `finding` prints, is pasted."""
    config = context.config.path
    original = config.read_text(encoding="utf-8")
    pasted(config, block)
    try:
        with TemporaryDirectory(prefix="pasted-") as state:
            changed = Context(
                load_dataset(config), context.settings.model_copy(update={"state": Path(state)})
            )
            return list(_lost(finding, context, before, changed, look(changed)))
    except PipelineError as error:
        return [f"the config cannot be used: {error}"]
    finally:
        config.write_text(original, encoding="utf-8")


def _lost(
    finding: Finding, context: Context, before: Seen, changed: Context, after: Seen
) -> Iterator[str]:
    """What was right before and is not there after."""
    for table, rows in before.tables.items():
        old, new = context.config.tables[table], changed.config.tables[table]
        now = after.tables[table]
        if now.read < rows.passed and not old.combine and not _no_rows(before, table):
            yield f"{table} had {rows.passed} right rows and has {now.read} rows"
        if after.accepted and now.passed == 0 and not (before.accepted and rows.passed == 0):
            yield f"{table} is accepted without a row"
        if (
            table in before.pairs
            and table in after.pairs
            and (gone := before.pairs[table] - after.pairs[table])
        ):
            yield f"{table} lost the pairs {sorted(gone, key=str)[:3]}"
        for (name, lab), cells in before.right.items():
            if name != table or lab in new.ignore:
                continue
            column = (
                TABLES[table].column(new.columns.get(lab, lab))
                if isinstance(new.columns.get(lab, lab), str)
                else None
            )
            left = after.values.get((table, lab), Counter())
            factor = (
                10.0 ** (new.power(column) - old.power(column))
                if column is not None and column.kind is Kind.NUMBER
                else 1.0
            )
            expected = Counter({_scaled(value, factor): count for value, count in cells.items()})
            if new.key != old.key and lab in {old.columns.get(part, part) for part in new.key} | {
                "cid"
            }:
                continue  # its keys are spelt with their parent's from now on
            lost = +(expected - _rounded(left, factor))
            emptied = {
                value: count for value, count in lost.items() if _is_marker(value, new.missing)
            }
            if emptied and lab != finding.column and not after.says(table, lab):
                yield (
                    f"{sum(emptied.values())} cells of {lab} of {table} are emptied without a"
                    " finding"
                )
            others = {value: count for value, count in lost.items() if value not in emptied}
            if others and (after.accepted or not after.says(table, lab)):
                yield (
                    f"{sum(others.values())} values of {lab} of {table} are lost or changed, e.g."
                    f" {next(iter(others))!r}"
                )
            if new.combine and column is not None and (table, column.name) in after.sent:
                total, sent = _total(before.values[table, lab]), after.sent[table, column.name]
                if not math.isclose(total, sent, rel_tol=1e-9) and not after.says(table, lab):
                    yield (
                        f"the {lab} of {table} add up to {total} in the file and to {sent} as they"
                        " are sent"
                    )


def _no_rows(seen: Seen, table: str) -> bool:
    """Whether a finding says of rows of the table that they are none: what follows from that is no
    loss.
    """
    return any(
        finding.table == table and finding.code == "SYN-READ-017" for finding in seen.findings
    )


def _scaled(value: Any, factor: float) -> Any:
    return _significant(value * factor) if isinstance(value, float) and factor != 1.0 else value


def _rounded(cells: Counter[Any], factor: float) -> Counter[Any]:
    """The values as `_scaled` gives them, for a product may differ in its last bit."""
    if factor == 1.0:
        return cells
    rounded: Counter[Any] = Counter()
    for value, count in cells.items():
        rounded[_significant(value) if isinstance(value, float) else value] += count
    return rounded


def _significant(value: float) -> float:
    return float(f"{value:.12g}")


def _total(cells: Counter[Any]) -> float:
    return math.fsum(
        float(value) * count for value, count in cells.items() if isinstance(value, int | float)
    )


def _is_marker(value: Any, missing: Any) -> bool:
    """Whether a cell of this value may have been one of the markers, which are text."""
    markers = (
        [word for words in missing.values() for word in words]
        if isinstance(missing, dict)
        else list(missing)
    )
    if str(value) in markers:
        return True
    numbers = []
    for marker in markers:
        try:
            numbers.append(float(marker))
        except ValueError:
            continue
    return isinstance(value, int | float) and float(value) in numbers
