"""When Dagster runs a dataset.

Belongs here: the keys of a dataset's YAML for that. Does not: deciding whether a run is due, which
is left to Dagster.
"""

from __future__ import annotations

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

from syndb_pipeline.config.yaml_file import Strict, Text


def _cron(value: str) -> str:
    if re.fullmatch(r"([\d*/,\-A-Za-z]+\s+){4}[\d*/,\-A-Za-z]+", value.strip()):
        return value.strip()
    raise ValueError(
        f"{value!r} is no cron line; it has five fields (minute hour day month weekday), e.g."
        ' "0 2 * * *"'
    )


def _time_zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{value!r} is no time zone; write it like Europe/Vienna, or UTC"
        ) from None


class Schedule(Strict):
    """When Dagster prepares a dataset. `"0 2 * * *"` alone is a cron line in UTC."""

    cron: Annotated[Text, AfterValidator(_cron)]
    time_zone: Annotated[Text, AfterValidator(_time_zone)] = Field(
        default="UTC", description="E.g. Europe/Vienna; its changes of the clock are kept."
    )


def _as_schedule(value: object) -> object:
    return {"cron": value} if isinstance(value, str) else value


ScheduleSetting = Annotated[
    Schedule | None, BeforeValidator(_as_schedule, json_schema_input_type=Schedule | str | None)
]
