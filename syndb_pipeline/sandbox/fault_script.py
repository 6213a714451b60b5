"""The language of scripted faults: `429@upload:2,retry-after=5` is a fault and its request.

Belongs here: the names of routes and faults, reading a fault's text. Does not: doing it
(`faults.py`, `tamper.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.contract.tables import TABLES

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
)
ROUTES: Final = (*dict.fromkeys(name for name, _, _ in _ROUTES), "object", "other")
"""The names of the routes; `object` is any request to a pre-signed form or URL, `other` any route
without a name."""

FAULTS_HELP: Final = f"""\
A fault is KIND@WHEN[,option=value ...].
Kinds
  429, 500 ... 599    this status instead of an answer; options retry-after=SECONDS | date:SECONDS |
  garbage expire              the token expires: 401 from this request on, until the next log-in;
  also written 401 reset               the connection is reset before any answer, and nothing is
  done; option after=BYTES of the body drop                the request is carried out, then the
  connection is reset before any answer reset-response      the connection is reset after half of
  the answer's body slow=SECONDS        the request waits before it is carried out
  slow-answer=SECONDS the request is carried out and the answer waits trickle=BYTES       the
  answer's body comes at so many bytes a second lose-row, double-row, alter-row
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
    kind, equals, amount = what.partition("=")
    kind = "expire" if kind == "401" else kind
    allowed = _OPTIONS.get("status" if re.fullmatch(r"429|5\d\d", kind) else kind)
    if allowed is None or kind == "status":
        raise ValueError(f"there is no kind {kind!r}")
    if not at_sign:
        raise ValueError("it does not say when; write for example @3, @upload or @*")
    if kind in _AMOUNT and not equals:
        raise ValueError(f"{kind} needs an amount, such as {kind}=2")
    if kind not in _AMOUNT and equals:
        raise ValueError(f"{kind} takes no amount")
    if equals and not (re.fullmatch(_AMOUNT[kind], amount) and 0 < float(amount) <= 1e9):
        raise ValueError(f"{amount!r} is no amount for {kind}")
    route, number = _when(when)
    if kind in DATA_FAULTS and route not in (None, "upload"):
        raise ValueError(f"only an upload changes tables, not {route}")
    options: dict[str, str] = {}
    for pair in pairs:
        name, _, value = (part.strip() for part in pair.partition("="))
        if name not in allowed:
            raise ValueError(f"it has no option {name!r}; its options: {', '.join(allowed)}")
        if name in options:
            raise ValueError(f"{name} is given twice")
        if not re.fullmatch(_VALUES[name], value):
            raise ValueError(f"{value!r} is no value for {name}")
        options[name] = value
    return Fault(text, kind, route, number, float(amount or 0), options)


def _when(when: str) -> tuple[str | None, int | None]:
    """The route (None: all) and the number of the request (None: every one)."""
    if re.fullmatch(rf"\*|{_NUMBER}", when):
        return None, None if when == "*" else int(when)
    route, colon, number = when.partition(":")
    if route not in ROUTES:
        raise ValueError(f"{route!r} is no number of a request and no route")
    if colon and not re.fullmatch(rf"\*|{_NUMBER}", number):
        raise ValueError(f"{number!r} after {route}: is no number from 1 on and no *")
    return route, None if number == "*" else int(number or 1)
