"""What differs between two publications, or the last one and the package: row by row by the keys
that the lab gave, or counted by the UUIDs that rows have.

Belongs here: comparing the tables that are kept, and those of the package. Does not: keeping them
(`kept_tables.py`), deciding whether to send (`publish.py`), or printing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import duckdb
from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base import engine
from syndb_pipeline.base.engine import literal, parquet, quote, types_of
from syndb_pipeline.base.errors import Busy, ConfigError
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.contract.tables import TABLES, ordered
from syndb_pipeline.publishing.kept_tables import IDS
from syndb_pipeline.publishing.records import Changes, PublishRecords, Receipt, Since
from syndb_pipeline.stages.package import TABLES_FOLDER
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import link_or_copy

NOW: Final = "now"
"""Names the package, among the digests of plans."""

Export = Callable[[duckdb.DuckDBPyConnection, str, str], None]
"""Takes a connection, a table, and a query of change, key, col, was and now of all its rows."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Cell(_Frozen):
    """A cell that changed; None is no value."""

    column: str
    was: str | None
    now: str | None


class Row(_Frozen):
    """A row that differs, by the lab's key, or its UUID where that is not kept; `cells` of one that
    changed."""

    key: str
    change: Literal["added", "changed", "withdrawn"]
    cells: tuple[Cell, ...] = ()


class TableDifference(_Frozen):
    """How many rows of a table differ, and the first of them."""

    changes: Changes
    rows: tuple[Row, ...]


class Version(_Frozen):
    """One side of the comparison: when it was published, or packed, and its plan's digest."""

    plan: str
    at: datetime


class Difference(_Frozen):
    """What differs, by table; tables of either side."""

    before: Version
    after: Version
    tables: dict[str, TableDifference]


def difference(
    context: Context,
    before: str | None = None,
    after: str = NOW,
    *,
    rows: int = 10,
    export: Export | None = None,
) -> Difference:
    """What differs between two versions of a dataset.

    Args:
        context: The dataset.
        before: The digest of a plan, or how it begins; the one published last when left out.
        after: The same, or `now` for what is packed.
        rows: How many rows of each table come back.
        export: Given all of them.

    Raises:
        ConfigError: There is no such version, or its tables are not kept any more.
        Busy: The package is being made.
    """
    records = PublishRecords(context.store)
    receipts = {each.plan: each for each in records.receipts()}
    last = records.receipt()
    if last is None:
        raise ConfigError(
            f"{context.config.name} was not published yet, so there is nothing to compare with.",
            next_step=f"See what would be: syndb-pipeline plan {context.config.path}",
        )

    def version(named: str) -> Version:
        if named == NOW:
            return Version(plan=NOW, at=_packed_at(context))
        found = [plan for plan in receipts if plan.startswith(named.strip().casefold())]
        kept = [plan[:12] for plan in receipts if records.kept.tables(plan)]
        has = f"Kept are: {', '.join(kept) or 'none'}. `retention.versions` says how many."
        if len(found) != 1:
            raise ConfigError(f"{named!r} is the digest of no publication.", next_step=has)
        if not records.kept.tables(found[0]):
            at = receipts[found[0]].published
            why = f"The tables that were published on {at:%Y-%m-%d %H:%M} UTC are not kept any more"
            raise ConfigError(f"{why} ({found[0][:12]}).", next_step=has)
        return Version(plan=found[0], at=receipts[found[0]].published)

    sides = version(before or last.plan), version(after)
    with TemporaryDirectory(dir=records.folder, prefix=".spill-") as place:
        folders = [Path(place) / "before", Path(place) / "after"]
        for folder, side in zip(folders, sides, strict=True):
            _link(context, records, side, folder)
        old, new = (_by_name(folder / TABLES_FOLDER) for folder in folders)
        ids = [path for folder in folders for path in (folder / IDS).glob("*.parquet")]
        with engine.connect(
            memory_limit=context.settings.memory_limit,
            threads=context.settings.threads,
            spill=Path(place) / "spill",
        ) as connection:
            tables = {
                name: _Table(connection, name, old.get(name), new.get(name), ids).differ(
                    rows, export
                )
                for name in ordered({*old, *new})
            }
    return Difference(before=sides[0], after=sides[1], tables=tables)


def _packed_at(context: Context) -> datetime:
    """When the package was made. Raises `ConfigError` unless it is of the newest data."""
    store = context.store
    ids, verdict, package = (
        store.record(stage) for stage in ("assign_ids", "check_integrity", "package")
    )
    chain = store.verdict.details.chain if store.verdict else {}
    whole = (
        ids
        and verdict
        and package
        and package.run
        and chain.get("assign_ids") == ids.digest
        and package.inputs["record:check_integrity"] == verdict.digest
    )
    if not whole or not package or not package.run:
        raise ConfigError(
            f"The newest data of {context.config.name} are not packed: they were rejected, or not"
            " prepared to the end.",
            next_step=f"Prepare them with: syndb-pipeline plan {context.config.path}",
        )
    return package.run.started


def _link(context: Context, records: PublishRecords, side: Version, folder: Path) -> None:
    """Names of its own for the files of a version: a run may replace them meanwhile."""
    store, now = context.store, side.plan == NOW
    if now:
        files = {
            TABLES_FOLDER: _by_name(store.stage("package") / TABLES_FOLDER),
            IDS: _by_name(store.stage("assign_ids") / IDS),
        }
    else:
        files = {TABLES_FOLDER: records.kept.tables(side.plan), IDS: records.kept.ids(side.plan)}
    try:
        for kind, paths in files.items():
            (folder / kind).mkdir(parents=True)
            for path in paths.values():
                link_or_copy(path, folder / kind / path.name)
        same = not now or _packed_at(context) == side.at
    except FileNotFoundError:
        same = False
    if not same:
        raise Busy(
            f"{context.config.name} is being prepared or published.",
            next_step="Give the same command again when that has ended.",
        )


def _by_name(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.parquet"))}


@dataclass(frozen=True)
class _Table:
    """Both versions of a table; `ids` are the id maps of all tables, in both."""

    connection: duckdb.DuckDBPyConnection
    name: str
    before: Path | None
    now: Path | None
    ids: list[Path]

    def differ(self, limit: int, export: Export | None) -> TableDifference:
        """The counts and the first `limit` rows; all of them go to `export`."""
        none = Changes(added=0, changed=0, withdrawn=0)
        if self.before and self.now and self.before.samefile(self.now):
            return TableDifference(changes=none, rows=())
        self._find_rows()
        counts = dict(self._fetch("SELECT change, count(*) FROM differing GROUP BY ALL"))
        if counts:
            self._find_cells(None if export else limit)
        if export and counts:
            every = "SELECT change, key, col, was, now FROM chosen LEFT JOIN cells USING (n)"
            export(self.connection, self.name, f"{every} ORDER BY n, col")
        changes = none.model_copy(update=counts)
        return TableDifference(changes=changes, rows=tuple(self._rows(limit)) if counts else ())

    def _find_rows(self) -> None:
        """The temporary table `differing`: the key of each row that differs, and how."""
        before, now = self.before or self.now, self.now or self.before
        assert before and now
        old, new = hashed(self.name, before, now)
        old = old if self.before else f"(SELECT * FROM {old} LIMIT 0)"
        new = new if self.now else f"(SELECT * FROM {new} LIMIT 0)"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE differing AS SELECT {self._keys}, CASE"
            " WHEN o.row IS NULL THEN 'added' WHEN n.row IS NULL THEN 'withdrawn'"
            f" ELSE 'changed' END AS change FROM {old} o FULL JOIN {new} n USING ({self._keys})"
            " WHERE o.row IS DISTINCT FROM n.row"
        )

    def _find_cells(self, limit: int | None) -> None:
        """The temporary tables `chosen`, the rows to be shown, numbered by change and key, and
        `cells`, those of them that changed."""
        ends = [quote(column) for column in key_of(self.name)]
        named = [f"coalesce(k{n}.key, d.{end}::VARCHAR)" for n, end in enumerate(ends)]
        key = " || '/' || ".join(named)
        for n, end in enumerate(ends):
            self._find_keys(f"k{n}", f"SELECT {end} FROM differing")
        joins = " ".join(f"LEFT JOIN k{n} ON k{n}.cid = d.{end}" for n, end in enumerate(ends))
        cut = "" if limit is None else f" LIMIT {limit}"
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE chosen AS SELECT"
            " row_number() OVER (ORDER BY change, try_cast(key AS HUGEINT), key) AS n, *"
            f" FROM (SELECT d.*, {key} AS key FROM differing d {joins}) ORDER BY n{cut}"
        )
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE cells AS SELECT n, cell.col, cell.was, cell.now FROM"
            f" (SELECT n, unnest([{', '.join(self._cells())}]) AS cell FROM chosen"
            f" JOIN {parquet(self.before or self.now or '')} o USING ({self._keys})"
            f" JOIN {parquet(self.now or self.before or '')} w USING ({self._keys})"
            " WHERE change = 'changed') WHERE cell.was IS DISTINCT FROM cell.now"
        )
        references = literal([*TABLES[self.name].references])
        those = f"FROM cells WHERE list_contains({references}, col)"
        uuids = [f"SELECT try_cast({side} AS UUID) {those}" for side in ("was", "now")]
        self._find_keys("referred", " UNION ".join(uuids))
        for side in ("was", "now"):
            self.connection.execute(
                f"UPDATE cells SET {side} = r.key FROM referred r WHERE list_contains({references},"
                f" col) AND try_cast({side} AS UUID) = r.cid"
            )

    def _cells(self) -> Iterator[str]:
        yield "{col: '', was: NULL::VARCHAR, now: NULL::VARCHAR}"  # a table may have no more
        sides = [types_of(path) if path else {} for path in (self.before, self.now)]
        for column in dict.fromkeys([*sides[0], *sides[1]]):
            if column not in key_of(self.name):
                was, now = (
                    f"{place}.{quote(column)}::VARCHAR" if column in side else "NULL"
                    for place, side in zip("ow", sides, strict=True)
                )
                yield f"{{col: {literal(column)}, was: {was}, now: {now}}}"

    def _find_keys(self, table: str, uuids: str) -> None:
        """The temporary `table`: the lab's key of each of the `uuids` that has one here."""
        maps = " UNION ALL ".join(
            f"SELECT cid, key::VARCHAR AS key FROM {parquet(path)}" for path in self.ids
        )
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT cid, any_value(key) AS key FROM"
            f" ({maps or 'SELECT NULL::UUID AS cid, NULL::VARCHAR AS key'})"
            f" WHERE cid IN ({uuids}) GROUP BY cid"
        )

    def _rows(self, limit: int) -> Iterator[Row]:
        found: dict[int, list[Cell]] = {}
        for number, column, was, now in self._fetch(
            f"SELECT * FROM cells WHERE n <= {limit} ORDER BY n, col"
        ):
            found.setdefault(number, []).append(Cell(column=column, was=was, now=now))
        for number, key, change in self._fetch(
            f"SELECT n, key, change FROM chosen WHERE n <= {limit} ORDER BY n"
        ):
            yield Row(key=key, change=change, cells=tuple(found.get(number, ())))

    def _fetch(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    @property
    def _keys(self) -> str:
        return ", ".join(map(quote, key_of(self.name)))


# Counted


def changes_since(
    settings: PipelineSettings,
    records: PublishRecords,
    destination: tuple[str, str],
    package: Mapping[str, Path],
) -> Since | None:
    """What changed since the newest receipt.

    Args:
        settings: Limits of memory and threads.
        records: Those of the dataset.
        destination: Name and target of where the package would go.
        package: Its tables.

    Returns:
        None where the dataset was not published there, was deleted there since, or the tables that
        were published are not there, each with its rows: an old receipt's were not kept.
    """
    receipt = records.receipt()
    if receipt is None or (receipt.destination, receipt.target) != destination:
        return None
    kept, deleted = records.kept.tables(receipt.plan), records.deleted(receipt.destination)
    if not all(each.before(receipt) for each in deleted) or not _whole(kept, receipt):
        return None
    with (
        TemporaryDirectory(dir=records.folder, prefix=".spill-") as spill,
        engine.connect(
            memory_limit=settings.memory_limit, threads=settings.threads, spill=Path(spill)
        ) as connection,
    ):
        tables = {
            name: _compare(connection, name, kept.get(name), package.get(name))
            for name in ordered({*kept, *package})
        }
    return Since(published=receipt.published, plan=receipt.plan, tables=tables)


def _whole(kept: Mapping[str, Path], receipt: Receipt) -> bool:
    try:
        rows = {name: engine.rows_in(path) for name, path in kept.items()}
    except (OSError, ValueError):  # no Parquet file, says pyarrow
        return False
    return rows == {name: table.sent for name, table in receipt.tables.items()}


def _compare(
    connection: duckdb.DuckDBPyConnection, table: str, before: Path | None, now: Path | None
) -> Changes:
    if before is None or now is None:
        added, withdrawn = (engine.rows_in(path) if path else 0 for path in (now, before))
        return Changes(added=added, changed=0, withdrawn=withdrawn)
    if before.samefile(now):
        return Changes(added=0, changed=0, withdrawn=0)
    keys, (old, new) = ", ".join(map(quote, key_of(table))), hashed(table, before, now)
    added, withdrawn, changed = connection.execute(
        f"SELECT count_if(o.row IS NULL), count_if(n.row IS NULL), count_if(o.row <> n.row)"
        f" FROM {old} o FULL JOIN {new} n USING ({keys})"
    ).fetchall()[0]
    return Changes(added=added, changed=changed, withdrawn=withdrawn)


def key_of(table: str) -> tuple[str, ...]:
    """The columns of UUIDs that a packed row is known by."""
    return TABLES[table].pair or ("cid",)


def hashed(table: str, before: Path, now: Path) -> tuple[str, str]:
    """FROM items of both versions of a table: the key of each row, and `row`, a hash of all."""
    sides, columns = (types_of(before), types_of(now)), {*types_of(before), *types_of(now)}
    keys = ", ".join(map(quote, key_of(table)))
    old, new = (
        f"(SELECT {keys}, hash({', '.join(_value(name, side) for name in sorted(columns))}) AS row"
        f" FROM {parquet(path)})"
        for side, path in zip(sides, (before, now), strict=True)
    )
    return old, new


def _value(column: str, there: Mapping[str, str]) -> str:
    return quote(column) if column in there else "NULL"
