"""A plan as text: what a person reads before approving it.

Belongs here: its lines. Does not: what is in a plan (`plan.py`), or how a terminal or Dagster shows
text.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any, Final

from syndb_pipeline.base.progress import amount
from syndb_pipeline.config.description import Description
from syndb_pipeline.contract.metadata import TERMS, TERMS_DIGEST, TERMS_SOURCE
from syndb_pipeline.contract.vocabularies import BRAIN_STRUCTURES, SPDX_LICENSES
from syndb_pipeline.publishing.plan import Plan
from syndb_pipeline.state.results import lines_of, relations_of

_UNCOVERED: Final = "Warning      it changes more than a standing approval covers"


def describe(current: Plan) -> str:
    """The plan as text: what a person reads before approving it."""
    license = current.metadata.license
    spdx = "".join(f" ({spdx})" for spdx, name in SPDX_LICENSES.items() if name == license)
    width = max(len(name) for name in [*current.tables, *current.set_aside])
    rows = {name: (table.rows, amount(table.bytes)) for name, table in current.tables.items()}
    rows["in all"] = current.rows, f"{amount(current.tar.bytes):>9} in {current.tar.name}"
    lines = [
        f"Dataset      {current.label}",
        f"Id           {current.dataset}",
        f"Destination  {current.destination} ({current.target})",
        *_labelled("Speaks", current.speaks),
        *(line for each in current.obstacles for line in _labelled("Not taken", each)),
        f"Licence      {license}{spdx}",
        *(
            f"Brain region {region.brain_structure}: not in SynDB's vocabulary, "
            "published as written"
            for region in current.metadata.brain_regions
            if region.brain_structure not in BRAIN_STRUCTURES
        ),
        *_described(current.description),
        f"Terms        {in_words(current.terms)}",
        *(f"             {key}: {text}" for key, text in TERMS.items()),
        f"             {TERMS_SOURCE}; {TERMS_DIGEST[:12]}",
        "Tables",
        *(
            f"  {name:<{width}}  {count:>13,} {'row ' if count == 1 else 'rows'}  {size:>9}"
            for name, (count, size) in rows.items()
        ),
    ]
    if relations := [f"  {line}" for line in lines_of(relations_of(current.relations))]:
        lines.append("References, the tables they point to, rows, and how the table was chosen")
        lines += relations
    if current.set_aside:
        lines.append("Quarantined, not sent")
        lines += (f"  {name:<{width}}  {each}" for name, each in current.set_aside.items())
    if current.since:
        lines += current.since.lines(current.destination)
    if compared := [*current.compared.lines()]:
        lines += [_UNCOVERED] if current.compared.reasons else []
        lines += compared
    meshes = sum(file.kind == "mesh" for file in current.files)
    files = f"{meshes:,} meshes, {len(current.files) - meshes:,} skeletons"
    lines.append(f"Files        {files}, {amount(current.file_bytes)}")
    return "\n".join([*lines, f"Digest       {current.digest}"])


def _described(description: Description | None) -> Iterator[str]:
    if description is None:
        return
    if description.creators:
        yield f"Creators     {'; '.join(each.name for each in description.creators)}"
    if closed := description.access.closed(datetime.now(UTC).date()):
        yield f"Access       not for everyone yet: {closed}"


def _labelled(label: str, text: str) -> list[str]:
    return wrap(text, 80, initial_indent=f"{label:<13}", subsequent_indent=" " * 13)


def in_words(terms: dict[str, Any] | None) -> str:
    """Who accepted the terms and when, and what of them was not."""
    if terms is None:
        return "not accepted yet"
    refused = ", ".join(key for key in TERMS if not terms.get(key))
    accepted = f"accepted by {terms['accepted_by']} on {terms['accepted_on']}"
    return accepted + (f", except {refused}" if refused else "")
