"""What a dataset's YAML says about wrong rows: refuse the dataset, or set them aside up to a limit.

Belongs here: the two keys and how a share of rows is written. Does not: setting rows aside
(`stages/set_aside.py`).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from syndb_pipeline.config.yaml_file import Strict, as_text

DEFAULT_LIMIT: Final = Decimal("0.005")

LARGEST_FRACTION: Final = Decimal("0.1")
"""Larger shares need their percent sign: 0.5 is half of the rows to one and 0.5 % to another. Nor
is a larger one ever advised.
"""

_WRITE: Final = "write a percentage such as 0.5%, or a fraction such as 0.005"


def as_share(value: object) -> Decimal | None:
    """A part of a table's rows, written `0.5%` or 0.005, as a fraction; None stays None. Raises
    `ValueError`.
    """
    if value is None or isinstance(value, Decimal):
        return value
    text = str(as_text(value)).strip()
    match = re.fullmatch(
        r"([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]{1,3})?\s*(%?)", text, flags=re.IGNORECASE
    )
    if not match:
        raise ValueError(f"{text!r} is no share of rows; {_WRITE}")
    number = Decimal(match[1] + (match[2] or ""))
    share = number / 100 if match[3] else number
    if share > 1 and match[3]:
        raise ValueError(f"{text!r} is more than all rows; {_WRITE}")
    if share > LARGEST_FRACTION and not match[3]:
        either = f"{text}%" + (f" or {percent(share)}" if share <= 1 else "")
        raise ValueError(f"{text!r} has no percent sign; write {either}")
    return share


def percent(share: Decimal) -> str:
    """A share as a person writes it: 0.005 is `0.5%`."""
    return f"{(share * 100).normalize():f}%"


Share = Annotated[
    Decimal,
    BeforeValidator(as_share),
    WithJsonSchema({"type": ["string", "number"], "examples": ["0.5%", 0.005]}, mode="validation"),
]


class InvalidRows(Strict):
    """The keys of a dataset's YAML about wrong rows."""

    on_invalid: Literal["refuse", "quarantine"] = Field(
        default="refuse",
        description=(
            "What wrong rows do: refuse the dataset, or (quarantine) be quarantined with everything"
            " below them."
        ),
    )
    max_rejected: Share | None = Field(
        default=None,
        description=(
            "With on_invalid: quarantine, the most of each table that may be quarantined; 0.5% when"
            " left out."
        ),
    )

    @model_validator(mode="after")
    def _limit_has_a_use(self) -> InvalidRows:
        if self.max_rejected is not None and self.on_invalid == "refuse":
            raise ValueError(
                "max_rejected limits what is quarantined, and nothing is; add `on_invalid:"
                " quarantine`, or remove it"
            )
        return self

    @property
    def rejected_limit(self) -> Decimal:
        """The fraction of each table that may be quarantined; 0 where wrong rows refuse the
        dataset.
        """
        if self.on_invalid == "refuse":
            return Decimal(0)
        return DEFAULT_LIMIT if self.max_rejected is None else self.max_rejected
