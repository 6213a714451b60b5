"""The language of scripted faults: `429@upload:2,retry-after=5` says what goes wrong and at which
request.

Belongs here: the names of routes and faults, reading a fault's text. Does not: doing it
(`faults.py`, `tamper.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final, Literal, NoReturn, get_args

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.contract.tables import TABLES

DataFault = Literal["lose-row", "double-row", "alter-row", "truncate"]
"""Changes to the stored dataset after an upload was accepted."""

Counts = Literal["sent", "stored"]
"""Whether a tampered dataset's counts still tell what was sent, or what is stored."""

OBJECTS: Final = "/objects"
"""Where pre-signed forms and URLs point to, unless the server says otherwise."""

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
)
ROUTES: Final = (*dict.fromkeys(name for name, _, _ in _ROUTES), "object", "other")
"""The names of the routes; `object` is any request to a pre-signed form or URL, `other` any route
without a name.
"""

FAULTS_HELP: Final = f"""\
A fault is KIND@WHEN[,option=value ...].
Kinds
  429, 500 ... 599    this status instead of an answer; options retry-after=SECONDS | date:SECONDS | garbage
  expire              the token expires: 401 from this request on, until the next log-in; also written 401
  reset               the connection is reset before any answer, and nothing is done; option after=BYTES of the body
  drop                the request is carried out, then the connection is reset before any answer
  reset-response      the connection is reset after half of the answer's body
  slow=SECONDS        the request waits before it is carried out
  slow-answer=SECONDS the request is carried out and the answer waits
  trickle=BYTES       the answer's body comes at so many bytes a second
  lose-row, double-row, alter-row
                      an upload is accepted, then one stored row is lost, doubled or altered
  truncate            an upload is accepted, then one table keeps only its last 1,000 rows
                      options of these four: table=NAME (default: the largest), counts=sent | stored (default: sent)
When
  3                   the third request of all
  upload              the first request to this route; upload:2 the second; upload:* every one
  *                   every request
  times=N             (an option of every kind) also at the requests after it, N in all
Routes
  {", ".join(ROUTES)}"""


@dataclass(frozen=True)
class Fault:
    """One scripted fault. `at` counts requests from 1, those to `route` or (None) all; None stands
    for every one.

    `times` is how many requests in a row it meets, None without end.
    """

    text: str
    kind: str
    route: str | None
    at: int | None
    times: int | None
    amount: float = 0
    retry_after: str | None = None
    after: int = 0
    table: str | None = None
    counts: Counts = "sent"

    def meets(self, request: int, route: str, of_route: int) -> bool:
        """Whether it happens at request number `request`, which is number `of_route` to `route`."""
        if self.route not in (None, route):
            return False
        since = (request if self.route is None else of_route) - (self.at or 1)
        return since >= 0 and (self.times is None or since < self.times)

    @property
    def status(self) -> int | None:
        """The status it answers with, None when it answers with none."""
        return int(self.kind) if self.kind.isdigit() else None

    @property
    def data_fault(self) -> DataFault | None:
        return next((kind for kind in get_args(DataFault) if kind == self.kind), None)

    def retry_after_header(self, now: datetime) -> str | None:
        """The value of the header `Retry-After`."""
        if self.retry_after is None or self.retry_after.isdigit():
            return self.retry_after
        if self.retry_after == "garbage":
            return "in a little while"
        # A HTTP-date has no fractions: rounded up, so that nobody is told to come back early.
        moment = now.astimezone(UTC) + timedelta(
            seconds=int(self.retry_after.removeprefix("date:"))
        )
        return format_datetime(
            (moment + timedelta(microseconds=999_999)).replace(microsecond=0), usegmt=True
        )


def route_name(method: str, path: str, objects: str = OBJECTS) -> str:
    """The name in `ROUTES` of a request; pre-signed forms and URLs lie at or below the path
    `objects`.
    """
    if path == objects or path.startswith(objects.rstrip("/") + "/"):
        return "object"
    return next(
        (name for name, verb, pattern in _ROUTES if verb == method and re.fullmatch(pattern, path)),
        "other",
    )


def parse_fault(text: str) -> Fault:
    """Read one fault, as `FAULTS_HELP` describes it. Raises `ConfigError` with what there is."""

    def wrong(reason: str) -> NoReturn:
        raise ConfigError(f"Fault {text!r}: {reason}.", next_step=FAULTS_HELP)

    head, *pairs = text.strip().split(",")
    what, at_sign, when = head.partition("@")
    kind, equals, amount = what.partition("=")
    kind = {"401": "expire"}.get(kind, kind)
    allowed = _OPTIONS.get(kind, _OPTIONS["status"] if re.fullmatch(r"429|5\d\d", kind) else None)
    if allowed is None:
        wrong(f"there is no kind {kind!r}")
    if not at_sign:
        wrong("it does not say when; write for example @3, @upload or @*")
    if (kind in _AMOUNT) != bool(equals):
        wrong(
            f"{kind} needs an amount, such as {kind}=2"
            if kind in _AMOUNT
            else f"{kind} takes no amount"
        )
    if equals and not (re.fullmatch(_AMOUNT[kind], amount) and 0 < float(amount) <= 1e9):
        wrong(f"{amount!r} is no amount for {kind}")

    route, number = _when(when, wrong)
    if kind in get_args(DataFault) and route not in (None, "upload"):
        wrong(f"only an upload changes tables, not {route}")
    options = dict(_options(pairs, allowed, wrong))
    counts: Counts = "stored" if options.get("counts") == "stored" else "sent"
    return Fault(
        text=text.strip(),
        kind=kind,
        route=route,
        at=number,
        times=int(options["times"]) if "times" in options else (None if number is None else 1),
        amount=float(amount or 0),
        retry_after=options.get("retry-after"),
        after=int(options.get("after", 0)),
        table=options.get("table"),
        counts=counts,
    )


_AMOUNT: Final = {"slow": r"\d+(\.\d+)?", "slow-answer": r"\d+(\.\d+)?", "trickle": r"\d+"}
_VALUES: Final = {
    "times": r"[1-9]\d{0,8}",
    "retry-after": r"\d{1,8}|date:-?\d{1,8}|garbage",
    "after": r"\d{1,15}",
    "table": "|".join(TABLES),
    "counts": "|".join(get_args(Counts)),
}
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "status": ("times", "retry-after"),
    "reset": ("times", "after"),
    **dict.fromkeys(("expire", "drop", "reset-response", *_AMOUNT), ("times",)),
    **dict.fromkeys(get_args(DataFault), ("times", "table", "counts")),
}


def _when(when: str, wrong: Callable[[str], NoReturn]) -> tuple[str | None, int | None]:
    """The route (None: all) and the number of the request (None: every one)."""
    if re.fullmatch(r"\*|[1-9]\d{0,8}", when):
        return None, None if when == "*" else int(when)
    route, colon, number = when.partition(":")
    if route not in ROUTES:
        wrong(f"{route!r} is no number of a request and no route")
    if colon and not re.fullmatch(r"\*|[1-9]\d{0,8}", number):
        wrong(f"{number!r} after {route}: is no number from 1 on and no *")
    return route, None if number == "*" else int(number or 1)


def _options(
    pairs: list[str], allowed: tuple[str, ...], wrong: Callable[[str], NoReturn]
) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for pair in pairs:
        name, _, value = (part.strip() for part in pair.partition("="))
        if name not in allowed:
            wrong(f"it has no option {name!r}; its options: {', '.join(allowed)}")
        if name in seen:
            wrong(f"{name} stands twice")
        if not re.fullmatch(_VALUES[name], value):
            wrong(f"{value!r} is no value for {name}")
        seen.add(name)
        yield name, value
