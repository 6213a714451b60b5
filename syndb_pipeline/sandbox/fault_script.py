"""Scripted faults: their language, in which `429@upload:2,retry-after=5` is a fault and its
request, and those that change stored tables.

Belongs here: the names of routes and faults, reading a fault's text, changing a table. Does not:
disturbing a request (`faults.py`).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import duckdb
from filelock import FileLock

from syndb_pipeline.base import engine
from syndb_pipeline.base.engine import flush, literal, parquet, quote, write_parquet
from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.state.store import write_atomically

DATA_FAULTS: Final = ("lose-row", "double-row", "alter-row", "truncate")
"""Changes to the stored dataset after an upload was accepted."""

OBJECTS: Final = "/objects"
"""Where pre-signed forms and URLs point to."""

_ROUTES: Final = (
    ("login", "POST", r"/user/auth/native/login"),
    ("logout", "POST", r"/user/auth/native/logout"),
    ("profile", "GET", r"/user/profile/current"),
    ("authorize", "GET", r"/user/academic/authorize"),
    ("universal", "GET", r"/neurodata/metadata/get/universal"),
    ("new", "POST", r"/neurodata/metadata/dataset/new"),
    ("tag", "POST", r"/neurodata/metadata/tag/[a-z_]+/create"),
    ("all", "GET", r"/neurodata/metadata/dataset/get/all"),
    ("modifiable", "GET", r"/neurodata/metadata/dataset/get/modifiable"),
    ("incomplete", "GET", r"/neurodata/metadata/dataset/get/incomplete"),
    ("info", "GET", r"/neurodata/metadata/dataset/[^/]+/info"),
    ("collection", "POST", r"/neurodata/metadata/dataset/collection/new/[a-z-]+"),
    ("upload", "PATCH", r"/neurodata/io/[^/]+/upload"),
    ("upload-url", "GET", r"/neurodata/io/[^/]+/upload_url/[a-z]+"),
    ("download", "POST", r"/neurodata/io/download_dataset"),
    ("download", "GET", r"/neurodata/io/download_url"),
    ("delete", "DELETE", r"/neurodata/io/[^/]+/delete_dataset"),
    # Generation 2
    ("login", "POST", r"/v1/user/auth/login"),
    ("refresh", "POST", r"/v1/user/auth/refresh"),
    ("profile", "GET", r"/v1/user/profile"),
    ("validate", "POST", r"/v1/ontology/terms/validate"),
    ("new", "POST", r"/v1/neurodata/datasets"),
    ("modifiable", "GET", r"/v1/neurodata/datasets/modifiable"),
    ("info", "GET", r"/v1/neurodata/datasets/[0-9a-f-]{36}"),
    ("count", "GET", r"/v1/analytics/summary"),
    ("upload", "POST", r"/v1/neurodata/datasets/[^/]+/tables"),
    ("delete", "DELETE", r"/v1/neurodata/datasets/[^/]+"),
)
ROUTES: Final = (*dict.fromkeys(name for name, _, _ in _ROUTES), "object", "other")
"""The names of the routes; `object` is any request to a pre-signed form or URL, `other` any route
without a name."""

FAULTS_HELP: Final = f"""\
A fault is KIND@WHEN[,option=value ...].
Kinds
  429, 500 ... 599    this status instead of an answer
                      option retry-after=SECONDS | date:SECONDS | garbage
  expire              the token expires: 401 from this request on, until the next log-in; also
                      written 401
  reset               the connection is reset before any answer, and nothing is done
                      option after=BYTES of the body
  drop                the request is carried out, then the connection is reset before any answer
  reset-response      the connection is reset after half of the answer's body
  slow=SECONDS        the request waits before it is carried out
  slow-answer=SECONDS the request is carried out and the answer waits
  trickle=BYTES       the answer's body comes at so many bytes a second
  lose-row, double-row, alter-row
                      an upload is accepted, then one stored row is lost, doubled or altered
  truncate            an upload is accepted, then one table keeps only its last 1,000 rows
                      options of these four: table=NAME (default: the largest), counts=sent | stored
                      (default: sent)
When
  3                   the third request of all
  upload              the first request to this route; upload:2 the second; upload:* every one
  *                   every request
  times=N             (an option of every kind) also at the requests after it, N in all
Routes
  {", ".join(ROUTES)}"""


@dataclass(frozen=True)
class Fault:
    """One scripted fault. `at` counts requests from 1, those to `route` or (None) all; None is
    every one."""

    text: str
    kind: str
    route: str | None
    at: int | None
    amount: float
    options: Mapping[str, str]

    def meets(self, request: int, route: str, of_route: int) -> bool:
        """Whether it happens at request number `request`, which is number `of_route` to `route`."""
        if self.route not in (None, route):
            return False
        times = int(self.options.get("times", "0" if self.at is None else "1"))
        since = (request if self.route is None else of_route) - (self.at or 1)
        return since >= 0 and (times == 0 or since < times)

    @property
    def status(self) -> int | None:
        """The status it answers with, None when it answers with none."""
        return int(self.kind) if self.kind.isdigit() else None

    def retry_after(self, now: datetime) -> dict[str, str]:
        """The header `Retry-After`, if it has one."""
        value = self.options.get("retry-after")
        if value is None or value.isdigit():
            return {} if value is None else {"retry-after": value}
        if value == "garbage":
            return {"retry-after": "in a little while"}
        # A HTTP-date has no fractions: rounded up, so that no client is asked to come back early.
        seconds = int(value.removeprefix("date:"))
        moment = now.astimezone(UTC) + timedelta(seconds=seconds, microseconds=999_999)
        return {"retry-after": format_datetime(moment.replace(microsecond=0), usegmt=True)}


def route_name(method: str, path: str) -> str:
    """The name in `ROUTES` of a request."""
    if path == OBJECTS or path.startswith(f"{OBJECTS}/"):
        return "object"
    return next(
        (name for name, verb, route in _ROUTES if verb == method and re.fullmatch(route, path)),
        "other",
    )


def parse_fault(text: str) -> Fault:
    """Read one fault, as `FAULTS_HELP` describes it. Raises `ConfigError` with what there is."""
    try:
        return _parsed(text.strip())
    except ValueError as error:
        raise ConfigError(f"Fault {text!r}: {error}.", next_step=FAULTS_HELP) from None


_NUMBER: Final = r"[1-9]\d{0,8}"
_AMOUNT: Final = {"slow": r"\d+(\.\d+)?", "slow-answer": r"\d+(\.\d+)?", "trickle": r"\d+"}
_VALUES: Final = {
    "times": _NUMBER,
    "retry-after": r"\d{1,8}|date:-?\d{1,8}|garbage",
    "after": r"\d{1,15}",
    "table": "|".join(TABLES),
    "counts": "sent|stored",
}
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "status": ("times", "retry-after"),
    "reset": ("times", "after"),
    **dict.fromkeys(("expire", "drop", "reset-response", *_AMOUNT), ("times",)),
    **dict.fromkeys(DATA_FAULTS, ("times", "table", "counts")),
}


def _parsed(text: str) -> Fault:
    head, *pairs = text.split(",")
    what, at_sign, when = head.partition("@")
    kind, _, amount = what.partition("=")
    kind = "expire" if kind == "401" else kind
    allowed = _OPTIONS.get("status" if re.fullmatch(r"429|5\d\d", kind) else kind)
    if allowed is None or kind == "status":
        raise ValueError(f"there is no kind {kind!r}")
    if not at_sign:
        raise ValueError("it does not say when; write for example @3, @upload or @*")
    pattern = _AMOUNT.get(kind, "")
    if not re.fullmatch(pattern, amount) or (pattern and not 0 < float(amount) <= 1e9):
        takes = f"an amount above 0, such as {kind}=2" if pattern else "no amount"
        raise ValueError(f"{kind} takes {takes}, not {amount!r}")
    route, number = _when(when)
    if kind in DATA_FAULTS and route not in (None, "upload"):
        raise ValueError(f"only an upload changes tables, not {route}")
    options: dict[str, str] = {}
    for pair in pairs:
        name, _, value = (part.strip() for part in pair.partition("="))
        if name not in allowed or name in options:
            raise ValueError(f"it has no option {name!r}, or twice; it has {', '.join(allowed)}")
        if not re.fullmatch(_VALUES[name], value):
            raise ValueError(f"{value!r} is no value for {name}")
        options[name] = value
    return Fault(text, kind, route, number, float(amount or 0), options)


def _when(when: str) -> tuple[str | None, int | None]:
    """The route (None: all) and the number of the request (None: every one)."""
    route, colon, number = when.partition(":")
    if re.fullmatch(rf"\*|{_NUMBER}", when):
        route, number = "", when
    elif route not in ROUTES or (colon and not re.fullmatch(rf"\*|{_NUMBER}", number)):
        raise ValueError(f"{when!r} is no number of a request and no route")
    return route or None, None if number == "*" else int(number or 1)


# Changes to stored tables

KEPT_ROWS: Final = 1_000
"""What `truncate` leaves: one stored version of SynDB wrote only an upload's last 1,000 rows."""


def tamper(node: Path, dataset: UUID, fault: Fault, *, memory_limit: int, threads: int) -> bool:
    """Change one table of a dataset in the embedded node `node`: the fault's, or the largest.

    With counts `sent` (the default) the node goes on giving the number it was sent; with `stored`
    its counts follow the rows there are. Returns whether anything changed; there may be no such
    table, or no row. A changed table is a new file, and `dataset.json` is replaced in one rename,
    so readers see it before or after, as with an upload.
    """
    with FileLock(node / "locks" / f"{dataset}.lock"):
        folder = node / "datasets" / str(dataset)
        path = folder / "dataset.json"
        entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        tables = entry["tables"]
        table = fault.options.get("table")
        if not tables or (table is not None and table not in tables):
            return False
        name = table or max(tables, key=lambda each: tables[each]["rows"])
        changed = folder / "tables" / f"{name}.{uuid4().hex}.parquet"
        spill = folder / ".spill-of-tamper"
        try:
            with engine.connect(
                memory_limit=memory_limit, threads=threads, spill=spill
            ) as connection:
                held = folder / "tables" / tables[name]["file"]
                before = _one(connection, f"SELECT count(*) FROM {parquet(held)}")
                query = _changed(connection, name, held, before, fault.kind)
                if query is None:
                    return False
                after = write_parquet(connection, query, changed, published=True)
        finally:
            shutil.rmtree(spill, ignore_errors=True)
        flush(changed)
        flush(changed.parent)
        tables[name]["file"] = changed.name
        if fault.options.get("counts") == "stored":
            tables[name]["rows"] = after
            entry["number_of_units"] += after - before
        write_atomically(path, json.dumps(entry, indent=1) + "\n")
        return True


def _changed(
    connection: duckdb.DuckDBPyConnection, table: str, held: Path, rows: int, kind: str
) -> str | None:
    """The query of the table as the fault leaves it; None when it would change nothing."""
    source = parquet(held, row_number=True)
    whole = f"SELECT * EXCLUDE (file_row_number) FROM {source}"
    if rows == 0 or (kind == "truncate" and rows <= KEPT_ROWS):
        return None
    if kind == "lose-row":
        return f"{whole} WHERE file_row_number <> {rows - 1}"
    if kind == "double-row":
        return f"{whole} UNION ALL {whole} WHERE file_row_number = {rows - 1}"
    if kind == "truncate":
        return f"{whole} WHERE file_row_number >= {rows - KEPT_ROWS}"
    key = TABLES[table].pair or ("cid",)
    columns = dict(row[:2] for row in connection.execute(f"DESCRIBE {whole}").fetchall())
    # A measure rather than a key: a changed key would be a row lost and another one added.
    for name in sorted(columns, key=lambda each: each in key):
        column, type_ = quote(name), columns[name]
        last = f"SELECT max(file_row_number) FROM {source} WHERE {column} IS NOT NULL"
        if (row := _one(connection, last)) is not None:
            other = f"({_another(column, type_)})::{type_}"
            other = f"CASE WHEN file_row_number = {row} THEN {other} ELSE {column} END"
            return f"SELECT * EXCLUDE (file_row_number) REPLACE ({other} AS {column}) FROM {source}"
    return None


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    return (connection.execute(query).fetchone() or (None,))[0]


def _another(column: str, type_: str) -> str:
    """An SQL expression for a value of the column's type that is not the column's value."""
    if type_ == "DOUBLE":  # a half differs at any size, where minus 1 would be lost in a large one
        return f"CASE WHEN {column} = 0 THEN 1 ELSE {column} / 2 END"
    texts = {"UUID": f"md5({column}::VARCHAR)", "VARCHAR": f"{column} || {literal('x')}"}
    return texts.get(type_, f"CASE WHEN {column} > 0 THEN {column} - 1 ELSE {column} + 1 END")
