"""A small, complete lab to try the pipeline on: six invented neurons of mouse cortex.

Belongs here: the lab's files (`lab/`) and writing them. Does not: anything the pipeline itself
needs.

`lab/` holds all eleven tables in csv, tsv, xlsx and parquet, meshes and skeletons, whose counts,
totals and shapes agree with each other. `demo_errors.yaml` takes two files in place of their
right ones, as a tired person and a spreadsheet leave them:

- `er_with_unknown_column.csv`: a column name that SynDB does not know.
- `vesicles_with_mistakes.csv`: keys that went through a float (1001.0), a parent that is not
  there and one that is missing, a row without key, an id that a spreadsheet shortened, the same
  row twice, one key for two vesicles, NaN, a negative radius, a remark and a fraction where whole
  numbers are due, a misspelt transmitter, a line with a value too many and one that breaks off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from syndb_pipeline.config.json_schema import schema_text

CLEAN_CONFIG: Final = "demo.yaml"
ERRORS_CONFIG: Final = "demo_errors.yaml"
_LAB: Final = Path(__file__).with_name("lab")


def write_demo(folder: Path) -> Path:
    """Write the demo lab into `folder` and return its config; `demo_errors.yaml` is beside it.

    Every call writes the same content. Files of an earlier call are written over; anything else in
    the folder is left alone.
    """
    for file in sorted(path for path in _LAB.rglob("*") if path.is_file()):
        target = folder / file.relative_to(_LAB)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    (folder / "dataset.schema.json").write_text(schema_text("dataset"), encoding="utf-8")
    return folder / CLEAN_CONFIG
