"""How much a plan may differ from the last publication and still be sent under standing approval.

Belongs here: the limits of a dataset's YAML. Does not: comparing (`publishing/guardrails.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from syndb_pipeline.config.yaml_file import Strict

Percent = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Limits(Strict):
    """Beyond any of these, standing approval holds the plan until a person approves or rejects it;
    null switches a limit off. Changed terms, licence, access, metadata or destination hold it
    always.
    """

    rows_fallen: Percent | None = Field(
        default=20, description="Percent of a table's rows that may be missing now."
    )
    rows_grown: Percent | None = Field(
        default=100, description="Percent by which a table's rows may have grown."
    )
    keys_replaced: Percent | None = Field(
        default=20, description="Percent of a table's published keys that others may have replaced."
    )
    rows_withdrawn: Percent | None = Field(
        default=20, description="Percent of a table's published rows that may be withdrawn."
    )
    empty_cells: Percent | None = Field(
        default=10,
        description="Percentage points by which the share of a column's empty cells may move.",
    )
    values_moved: Percent | None = Field(
        default=50,
        description=(
            "Percent of the range between a column's published 1st and 99th percentile by which"
            " its median may move, and, of a table of 100 rows or more, these."
        ),
    )
    new_findings: Literal["hold"] | None = Field(
        default="hold",
        description="Whether a warning or error that the last publication did not have holds.",
    )
    new_version: Literal["hold"] | None = Field(
        default="hold",
        description="Whether other content from the same lab files, by a newer version, holds.",
    )
