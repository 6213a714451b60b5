"""A corrected copy of a Parquet file: the same schema, types and row groups, with changed values
and without removed rows.

Belongs here: turning a person's text into a value of the column's type. Does not: which values
change (`returned.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow
import pyarrow.parquet

from syndb_pipeline.corrections.returned import Correction, Returned
from syndb_pipeline.report.workbook.originals import Original

pa: Any = pyarrow  # it carries no types
pq: Any = pyarrow.parquet


def write_parquet_copy(
    original: Original, returned: Returned, target: Path, problems: list[str]
) -> None:
    """Copy the Parquet file of `original` to `target` with the changes, one row group at a time.

    A text that does not fit its column's type is added to `problems`, and the copy is then of no
    use.
    """
    cells = {row - original.part.first_line: changes for row, changes in returned.cells.items()}
    removed = {row - original.part.first_line for row in returned.removed}
    with pq.ParquetFile(original.path) as source:
        schema = source.schema_arrow
        values = {
            (row, index): _value(correction, schema.field(index), problems)
            for row, changes in cells.items()
            if row not in removed
            for index, correction in changes.items()
        }
        if problems:
            return
        compression = _compression(source.metadata)
        with pq.ParquetWriter(target, schema, compression=compression) as sink:
            start = 0
            for number in range(source.num_row_groups):
                group = source.read_row_group(number)
                end = start + group.num_rows
                sink.write_table(
                    _changed(group, start, values, removed), row_group_size=max(1, group.num_rows)
                )
                start = end


def _changed(group: Any, start: int, values: dict[tuple[int, int], Any], removed: set[int]) -> Any:
    """The rows of one row group, whose first is number `start` of the file, as they shall be."""
    end = start + group.num_rows
    by_column: dict[int, dict[int, Any]] = {}
    for (row, index), value in values.items():
        if start <= row < end:
            by_column.setdefault(index, {})[row - start] = value
    for index, changes in by_column.items():
        field = group.schema.field(index)
        plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        column = group.column(index).cast(plain)
        pieces, at = [], 0
        for row in sorted(changes):
            pieces += [*column.slice(at, row - at).chunks, changes[row]]
            at = row + 1
        pieces += column.slice(at).chunks
        merged = pa.chunked_array(pieces, plain)
        if plain != field.type:
            merged = merged.combine_chunks().dictionary_encode().cast(field.type)
        group = group.set_column(index, field, merged)
    gone = sorted(row - start for row in removed if start <= row < end)
    if not gone:
        return group
    kept, at = [], 0
    for row in gone:
        kept.append(group.slice(at, row - at))
        at = row + 1
    return pa.concat_tables([*kept, group.slice(at)])


def _value(correction: Correction, field: Any, problems: list[str]) -> Any:
    """An array of the one value that the text of `correction` stands for; None with a problem when
    it stands for none.
    """
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if not correction.text and not pa.types.is_string(kind) and not pa.types.is_large_string(kind):
        if field.nullable:
            return pa.nulls(1, kind)
        problems.append(
            f"{correction.address}: the column {field.name} of the Parquet file has no room for an"
            " empty cell"
        )
        return None
    if not correction.text and field.nullable:
        return pa.nulls(1, kind)
    try:
        if pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16:
            return pa.array([UUID(correction.text).bytes], kind)
        if pa.types.is_boolean(kind) and correction.text.strip().lower() not in ("true", "false"):
            raise ValueError("neither true nor false")
        text = (
            correction.text
            if pa.types.is_string(kind) or pa.types.is_large_string(kind)
            else correction.text.strip()
        )
        value = pa.array([text], pa.string()).cast(kind)
        if pa.types.is_floating(kind) and str(value[0].as_py()) in ("nan", "inf", "-inf"):
            raise ValueError("no finite number")
        return value
    except (pa.ArrowException, ValueError):
        shown = correction.text if len(correction.text) <= 60 else correction.text[:57] + "..."
        problems.append(
            f"{correction.address}: {shown!r} does not fit the type of the column {field.name} in"
            f" the Parquet file, {kind}"
        )
        return None


def _compression(metadata: Any) -> str:
    """How the file is compressed, as a writer names it."""
    if metadata.num_row_groups and metadata.num_columns:
        named = str(metadata.row_group(0).column(0).compression).lower()
        return "none" if named == "uncompressed" else named
    return "snappy"
