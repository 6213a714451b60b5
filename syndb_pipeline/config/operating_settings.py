"""What pipeline.yaml says of running unattended: who is notified, how long things are kept, and
what keeps two runs of a dataset apart.

Belongs here: channels with their addresses, retention, the kind of lock. Does not: secrets, which
only the environment holds; sending (`report/notify.py`); removing (`publishing/prune.py`); locking
(`state/locks.py`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.addresses import is_loopback, safe_address
from syndb_pipeline.config.yaml_file import Misplaced, Strict, Text

Event = Literal[
    "unusable", "rejected", "held", "failed", "unknown", "late", "recovered", "unpublished"
]

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_]\w*)\}", re.ASCII)


def _as_reference(value: str) -> str:
    if _REFERENCE.fullmatch(value):
        return value
    # What was found is not shown: it is a secret.
    raise ValueError(
        "a secret is not written into this file; write ${NAME} here, e.g. ${SYNDB_NOTIFY_SECRET},"
        " and set the environment variable NAME"
    )


def _as_url(value: str) -> str:
    return value if _REFERENCE.fullmatch(value) else safe_address(value)


def _as_mailbox(value: str) -> str:
    if re.fullmatch(r"[^\s@,;<>()\"\\]+@[^\s@,;<>()\"\\]+", value) and value.isprintable():
        return value
    raise ValueError(f"{value!r} is not an e-mail address; write it like ada@example.org")


Secret = Annotated[
    Text,
    AfterValidator(_as_reference),
    Field(description="${NAME}: the environment variable NAME holds it."),
]
Mailbox = Annotated[Text, AfterValidator(_as_mailbox)]


def resolved(value: str, what: str) -> str:
    """`value`, or what the environment variable holds that it refers to. Raises `ConfigError`,
    saying for `what`, when there is none."""
    reference = _REFERENCE.fullmatch(value)
    if not reference:
        return value
    if found := os.environ.get(reference[1]):
        return found
    raise ConfigError(
        f"The environment variable {reference[1]} is not set; {what} needs it.",
        next_step="Set it for whatever runs syndb-pipeline, e.g. in its service file.",
    )


class _Channel(Strict):
    """Where messages go. `events` and `datasets` choose which."""

    events: list[Event] = Field(
        default=[*get_args(Event)[:-1]],
        description="What is sent: all but `unpublished` (ready for approval) when left out.",
    )
    datasets: list[Text] = Field(
        default=["*"], min_length=1, description="Names of datasets, or patterns such as lab_*."
    )


class EmailChannel(_Channel):
    kind: Literal["email"]
    to: list[Mailbox] = Field(min_length=1)
    sender: Mailbox
    server: Text = Field(description="The SMTP server.")
    port: int | None = Field(default=None, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Text | None = None
    password: Secret | None = None

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> EmailChannel:
        if self.security == "none" and self.password and not is_loopback(self.server):
            reason = "the password would be sent without encryption; use starttls or tls"
            raise Misplaced((("security",), reason))
        return self


class WebhookChannel(_Channel):
    """The message as JSON, sent with POST; `token` goes into the header Authorization."""

    kind: Literal["webhook"]
    url: Annotated[Text, AfterValidator(_as_url)] = Field(
        description="https, or loopback; ${NAME} where the address itself is secret."
    )
    token: Secret | None = None


class FileChannel(_Channel):
    kind: Literal["file"]
    path: Path = Field(description="A file of JSON lines; relative to this file.")


class ServiceChannel(_Channel):
    """A service that apprise knows. Its address is a secret: whoever has it may write there."""

    kind: Literal["slack", "teams", "apprise"]
    url: Secret


Channel = Annotated[
    EmailChannel | WebhookChannel | FileChannel | ServiceChannel, Field(discriminator="kind")
]

Days = Annotated[int, Field(ge=1, le=36500)]


class Retention(Strict):
    """Days after which `prune` removes things. Receipts, approvals, journals, tombstones,
    corrections and the stages of known datasets stay in any case."""

    runs: Days | None = Field(
        default=30,
        description="Dagster's finished runs; the newest of each dataset stay, and the newest that"
        " succeeded.",
    )
    reports: Days | None = Field(
        default=None, description="HTML reports, which `report` writes again."
    )
    stages: Days | None = Field(
        default=None, description="Stage folders of datasets that have no config any more."
    )
    leftovers: Days = Field(default=1, description="What runs that died have left half written.")
    versions: int = Field(
        default=2,
        ge=1,
        le=1000,
        description="Not days: of how many publications of a dataset the tables are kept, for"
        " `diff`; older ones go when it is published.",
    )


class Locking(Strict):
    """What keeps two runs of a dataset apart."""

    kind: Literal["file", "postgresql"] = Field(
        default="file",
        description=(
            "file: a lock in the state folder, for one machine. postgresql: advisory locks, for"
            " several machines with one state folder; every one of them has to name the same"
            " database."
        ),
    )
    connection: Text = Field(
        default="",
        description=(
            "With postgresql: `host=db dbname=syndb user=syndb`; what is left out comes from"
            " libpq's PGHOST, PGPASSWORD, PGPASSFILE ... No password here."
        ),
    )

    @model_validator(mode="after")
    def _fits(self) -> Locking:
        if re.search(r"password\s*=|://[^/@]*:[^/@]*@", self.connection, re.IGNORECASE):
            why = "a password is not written into this file; set PGPASSWORD, or PGPASSFILE"
            raise Misplaced((("connection",), why))
        if self.connection and self.kind != "postgresql":
            raise Misplaced((("connection",), "only `kind: postgresql` has a connection"))
        return self
