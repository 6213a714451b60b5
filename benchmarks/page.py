"""docs/performance.md and its plot, written from a file of results, so that no figure is typed by
hand.

Belongs here: turning measurements into words and tables. Does not: the layout
(`docs/performance/performance.md.j2`), the plot (`plot.py`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks import results
from benchmarks.arena import ROOT
from benchmarks.bars import (
    MARGIN,
    compare_bars,
    cost_beyond_start,
    cost_per_row,
    millions,
    scale_bars,
)
from benchmarks.plot import scale_plot
from benchmarks.results import Session, middle, middle_stages
from benchmarks.scale import DISK_PER_ROW, START_ROWS
from syndb_pipeline.state.store import write_atomically

DOCS: Final = ROOT / "docs"
TEMPLATE: Final = DOCS / "performance"

OUTSIDE: Final = "outside the stages"

PURPOSE: Final = {
    "ingest": (
        "csv to columns of their final types; cells that will not cast are kept as they stand, with"
        " their place"
    ),
    "validate": (
        "every rule over every cell; each cause told with its rows and columns in the lab's own"
        " file"
    ),
    "assign_ids": "a UUID for every row, keys looked at for doubles",
    "join_relations": "parents, neurons and references of every row",
    "check_integrity": "the verdict over all tables, sealed over the records",
    "package": "the columns that are published, compressed, of several tables at a time",
    OUTSIDE: "starting Python, digests of what is read and written, records, the plan",
}
"""What each stage is there for."""


def page(found: Mapping[str, Any]) -> str:
    """The text of docs/performance.md for a file of results."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    compare, sizes = found.get("compare"), found["scale"]
    return environment.get_template("performance.md.j2").render(
        compare=_compare(compare) if compare else None,
        scale=_scale(sizes) if sizes else None,
        machines=list(_machines(compare, sizes)),
        margin=f"{MARGIN:g}",
        disk_100=f"{_disk_per_row(sizes) * 100_000_000 / 1e9:.0f}",
    )


def write(found: Mapping[str, Any], docs: Path) -> list[Path]:
    """Write the page and the plot into the folder of documents, and return what was written."""
    written = [docs / "performance.md"]
    write_atomically(written[0], page(found))
    if found["scale"]:
        written.append(docs / "performance" / "scale.svg")
        write_atomically(written[1], scale_plot(found["scale"]))
    return written


def _disk_per_row(sizes: Mapping[str, Session]) -> float:
    """Bytes on the disk for each row of the largest tables, the lab's files included, as the
    largest measured size took them.
    """
    largest = list(sizes.values())[-1:]
    return next(
        ((each["lab_bytes"] + middle(each["runs"], "disk")) / each["rows"] for each in largest),
        DISK_PER_ROW,
    )


def _compare(session: Session) -> dict[str, Any]:
    runs = {name: each["runs"] for name, each in session["contestants"].items()}
    seconds = {name: middle(each, "seconds") for name, each in runs.items()}
    told: dict[str, Any] = {
        "rows": f"{session['rows']:,}",
        "total_rows": f"{session['total_rows']:,}",
        "csv": _bytes(session["lab_bytes"]),
        "rounds": session["rounds"],
        "scripts": "tuned" in runs,
        "contestants": [
            {
                "name": name,
                "told": each["told"],
                "seconds": f"{seconds[name]:.2f}",
                "processor": f"{middle(each['runs'], 'processor'):.2f}",
                "memory": _bytes(middle(each["runs"], "memory")),
                "disk": _bytes(disk) if (disk := middle(each["runs"], "disk")) else "-",
            }
            for name, each in session["contestants"].items()
        ],
        "explained": _explained(runs),
        "bars": list(compare_bars(session)),
        "shares": ", ".join(
            f"{name} {share:.1%}".replace("%", " %") for name, share in session["shares"].items()
        ),
        "stages": [],
        "tuned": "",
    }
    if "csv" in runs:
        parts = middle_stages(runs["csv"]) | {OUTSIDE: _outside(runs["csv"])}
        told["whole"] = f"{seconds['csv']:.2f}"
        told["stages"] = [
            {
                "name": name,
                "seconds": f"{took:.2f}",
                "share": _percent(took / seconds["csv"]),
                "told": PURPOSE.get(name, ""),
            }
            for name, took in parts.items()
        ]
        if "tuned" in seconds:
            told["tuned"], told["tuned_share"] = (
                f"{seconds['tuned']:.2f}",
                _percent(seconds["tuned"] / seconds["csv"]),
            )
            told["difference"] = _difference(seconds, parts)
    return told


def _outside(runs: list[dict[str, Any]]) -> float:
    """Seconds of a run in none of its stages."""
    return float(median(run["seconds"] - sum(run["stages"].values()) for run in runs))


def _explained(runs: Mapping[str, Any]) -> str:
    """Which of the contestants publish nothing and find what another left."""
    told = [
        "Ours go as far as the plan of what would be sent (`syndb-pipeline plan`), unless the table"
        " says otherwise;"
    ]
    told.append("each starts from nothing, except those that run once more.")
    if "lab" in runs:
        told.append("*lab* is what a lab would write today: pandas, pandera, uuid4, merge.")
    if "tuned" in runs:
        told.append(
            "*tuned* is the floor: one DuckDB statement for each table, and counts of what is"
            " wrong."
        )
    return "\n".join(told)


def _difference(seconds: Mapping[str, float], parts: Mapping[str, float]) -> str:
    """What the time beyond the tuned script's is spent on, and what it buys, from measured
    seconds.
    """
    more = seconds["csv"] - seconds["tuned"]
    own = parts.get("validate", 0.0) + parts.get("check_integrity", 0.0) + parts[OUTSIDE]
    told = [
        f"The run takes {abs(more):.2f} s {'more' if more >= 0 else 'less'} than the tuned script.",
        (
            f"It holds what the script leaves out: {parts.get('validate', 0.0):.2f} s give findings"
            " with their places instead of counts,"
        ),
        f"{parts.get('check_integrity', 0.0):.2f} s a sealed verdict,",
        f"{parts[OUTSIDE]:.2f} s records, digests and the plan (and Python's start).",
        (
            f"The other stages do the script's own work in {seconds['csv'] - own:.2f} s, with files"
            " between them to look at and resume from."
        ),
    ]
    situations = (
        ("again", "nothing changed"),
        ("changed", "one table changed"),
        ("append", "one file appended"),
    )
    reruns = [f"{what} {seconds[name]:.2f} s" for name, what in situations if name in seconds]
    if reruns:
        told.append(
            f"That is what a rerun lives from: {', '.join(reruns)}, where the script takes its"
            f" {seconds['tuned']:.2f} s again."
        )
    return "\n".join(told)


def _scale(sizes: Mapping[str, Session]) -> dict[str, Any]:
    largest = list(sizes.values())[-1]
    names = [*middle_stages(largest["runs"]), OUTSIDE]
    return {
        "start": f"{largest['start_seconds']:.2f}",
        "start_rows": f"{START_ROWS:,}",
        "alternative": (
            "Cost of a row and peak memory over the rows of the largest tables; the table below has"
            " the values"
        ),
        "bars": list(scale_bars(sizes)),
        "sizes": [
            {
                "rows": millions(each["rows"]),
                "total_rows": f"{each['total_rows']:,}",
                "csv": _bytes(each["lab_bytes"]),
                "rounds": each["rounds"],
                "seconds": f"{middle(each['runs'], 'seconds'):.2f}",
                "processor": f"{middle(each['runs'], 'processor'):.2f}",
                "cost": f"{cost_per_row(each):.2f}",
                "beyond": f"{cost_beyond_start(each):.2f}",
                "memory": _spread([run["memory"] for run in each["runs"]]),
                "disk": _bytes(middle(each["runs"], "disk")),
            }
            for each in sizes.values()
        ],
        "stages": [
            {
                "name": name,
                "seconds": [
                    f"{(_outside(each['runs']) if name == OUTSIDE else middle_stages(each['runs']).get(name, 0.0)):.2f}"
                    for each in sizes.values()
                ],
            }
            for name in names
        ],
    }


def _machines(compare: Session | None, sizes: Mapping[str, Session]) -> Iterator[str]:
    """A line for each circumstances under which something was measured."""
    measured = ([("the comparison", compare)] if compare else []) + [
        (f"{millions(each['rows'])} rows", each) for each in sizes.values()
    ]
    groups: list[tuple[dict[str, Any], list[str]]] = []
    for what, session in measured:
        for facts, names in groups:
            if facts == session["facts"]:
                names.append(what)
                break
        else:
            groups.append((session["facts"], [what]))
    for facts, names in groups:
        libraries = ", ".join(f"{name} {found}" for name, found in facts["libraries"].items())
        yield (
            f"{', '.join(names)}: {facts['date']}; {facts['processor']}, {facts['cores']} cores, "
            f"{facts['memory_bytes'] / 1e9:.0f} GB of memory, {facts['system']};\n"
            f"  memory limit {facts['memory_limit'] / 1e9:g} GB, {facts['threads']} threads;\n"
            f"  Python {facts['python']}, {libraries}"
        )


def _bytes(amount: float) -> str:
    for factor, unit, digits in ((1e9, "GB", 2), (1e6, "MB", 0)):
        if amount >= factor:
            return f"{amount / factor:.{digits}f} {unit}"
    return f"{amount / 1e3:.0f} KB"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _spread(amounts: list[float]) -> str:
    low, high = _bytes(min(amounts)), _bytes(max(amounts))
    return _bytes(median(amounts)) + (f" ({low} to {high})" if low != high else "")


def main() -> int:
    """Write the page and the plot from a file of results, which is kept beside them."""
    parser = argparse.ArgumentParser(
        description="Write docs/performance.md and its plot from a file of results."
    )
    parser.add_argument("results", type=Path, help="what `make bench` wrote")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the page")
    options = parser.parse_args()
    if not options.results.is_file():
        raise SystemExit(
            f"{options.results} is not there; `make bench OUT={options.results}` writes it."
        )
    found = results.read(options.results)
    if not found["scale"] and not found.get("compare"):
        raise SystemExit(f"{options.results} holds no measurements.")
    options.docs.joinpath("performance").mkdir(parents=True, exist_ok=True)
    write_atomically(
        options.docs / "performance" / "results.json", options.results.read_text(encoding="utf-8")
    )
    print("Wrote " + ", ".join(str(path) for path in write(found, options.docs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
