"""The HTML report: nothing in it runs or is fetched, whatever the values are; headings, tables and
pictures can be read by everybody.

Belongs here: the page as text and what it is drawn from. Does not: how a browser shows it
(`tests/integration/test_report_command.py`).
"""

from __future__ import annotations

import math
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.checks.cells.pandera_judge import summarise, take_sample
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.report import html
from syndb_pipeline.report.drawings import hierarchy, histogram, scatter, short
from syndb_pipeline.report.gather import CHECKS, PLACES, gathered, states
from syndb_pipeline.report.html import LONGEST, default_path, render, visible, write_report
from syndb_pipeline.report.measures import Cloud, Histogram, clouds, histograms
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.stages.runner import run_stage
from syndb_pipeline.state.results import Relation, Summary
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Rows
from tests.lab import context_for
from tests.report_lab import HOSTILE, UNKNOWN_COLUMN, VESICLES, check, write, write_hostile_lab

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """What a browser would make of a page: elements with attributes, the text, and elements that
    were never closed.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return check(write_hostile_lab(tmp_path_factory.mktemp("hostile")))


@pytest.fixture(scope="module")
def text(context: Context) -> str:
    with context.store.lock(), gathered(context) as (report, _):
        return render(report)


@pytest.fixture(scope="module")
def seen(text: str) -> Page:
    return Page(text)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


# -- nothing runs, nothing is fetched


ELEMENTS = re.findall(
    r"\w+",
    "html head meta link title style body header main footer nav section article div p h1 h2 h3 h4"
    " h5 span strong code pre a ul li dl dt dd details summary table caption thead tbody tr th td"
    " figure figcaption svg g path rect circle text tspan desc",
)


def test_no_element_and_no_attribute_comes_from_a_value(seen: Page) -> None:
    assert {tag for tag, _ in seen.elements} <= {*ELEMENTS}
    names = {name for _, attributes in seen.elements for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert names.isdisjoint({"src", "srcdoc", "style", "xlink:href"})


def test_addresses_stay_on_the_page(seen: Page) -> None:
    addresses = [attributes["href"] for _, attributes in seen.elements if "href" in attributes]
    assert addresses and all(
        address and address.startswith(("#", "data:,")) for address in addresses
    )


def test_the_style_fetches_nothing(text: str) -> None:
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text


def test_hostile_values_and_names_are_shown_as_text(seen: Page, text: str) -> None:
    for value in HOSTILE:
        assert visible(value.strip() if value == "\tx" else value) in seen.text
    assert UNKNOWN_COLUMN in seen.text
    assert VESICLES in seen.text
    assert {c for c in text if not c.isprintable()} == {"\n"}


def test_long_values_are_cut() -> None:
    assert visible("x" * LONGEST) == "x" * LONGEST
    assert visible("x" * (LONGEST + 1)) == "x" * LONGEST + f"… ({LONGEST + 1} characters)"


# -- it can be read by everybody


def test_every_element_is_closed_where_it_was_opened(seen: Page) -> None:
    assert seen.crossed == []
    assert seen.open == []


def test_headings_follow_one_another(seen: Page) -> None:
    levels = [int(tag[1]) for tag, _ in seen.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels


def test_every_header_of_a_table_says_what_it_heads(seen: Page) -> None:
    headers = seen.all("th")
    assert len(headers) > 10
    # The catalogue's own tables come from Markdown, which knows header rows only.
    assert Counter(header.get("scope") for header in headers).keys() <= {"col", "row"}


def test_every_picture_has_words(text: str) -> None:
    for picture in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        assert "<title" in picture or 'aria-hidden="true"' in picture, picture[:200]


def test_ids_are_unique_and_the_contents_lead_to_them(seen: Page) -> None:
    ids = [str(attributes["id"]) for _, attributes in seen.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    leads = {str(link["href"])[1:] for link in seen.all("a") if str(link["href"]).startswith("#")}
    assert leads <= set(ids)


# -- what it says


def test_it_says_verdict_counts_places_and_fixes(seen: Page) -> None:
    words = " ".join(seen.text.split())
    assert "Rejected" in words
    assert "syndb-pipeline check dataset.yaml" in words
    assert "SYN-REL-001 Parent not found" in words
    assert "Add the missing rows to axon" in words
    assert "SynDB's terms have not been accepted yet" in words
    assert "ODC-By-1.0 (ODC_BY in SynDB)" in words
    assert all(stage in words for stage in CHECKS)


def test_each_rule_has_its_page_once(text: str, context: Context) -> None:
    with context.store.lock(), gathered(context, measured=False) as (report, _):
        codes = {finding.code for finding in report.findings}
    for code in codes:
        assert text.count(f"About {code}:") == 1
    meaning = RULES["SYN-REL-001"].sections["Why SynDB cares"].split("\n")[0]
    assert meaning in text


def test_places_are_in_the_order_of_rows(context: Context) -> None:
    with context.store.lock(), gathered(context, measured=False) as (report, _):
        numbers = [case for case in report.cases if case.finding.code == "SYN-TYPE-001"]
    assert [(case.kept, case.more) for case in numbers] == [
        (case.finding.count, 0) for case in numbers
    ]
    assert sum(len(case.places) for case in numbers) == len(HOSTILE)
    for case in numbers:
        rows = [example.row or 0 for example in case.places]
        assert rows == sorted(rows)
        assert set(case.finding.examples) <= set(case.places)


def test_of_many_places_the_first_and_the_last_are_shown(tmp_path: Path) -> None:
    context = context_for(tmp_path, {"axon": "axon.csv"})
    write(
        tmp_path / "axon.csv",
        [["cid", "voxel_volume"], *([str(number), "-5"] for number in range(100))],
    )
    check(context)
    with context.store.lock(), gathered(context) as (report, _):
        [case] = [case for case in report.cases if case.finding.code == "SYN-VAL-001"]
        words = " ".join(Page(render(report)).text.split())
    assert [example.row for example in case.places] == [*range(2, PLACES + 1), 101]
    assert case.more == 100 - PLACES
    assert f"{PLACES} of 100 places, the last among them" in words
    assert "All 100 places: syndb-pipeline report dataset.yaml --csv places.csv" in words


def test_equal_records_give_an_equal_page_and_it_is_written_once(
    context: Context, text: str
) -> None:
    with context.store.lock():
        first = write_report(context)
        assert first == default_path(context)
        assert first.read_text(encoding="utf-8") == text
        written = first.stat()
        assert write_report(context) == first
        assert first.stat().st_mtime_ns == written.st_mtime_ns, (
            "nothing changed, so nothing was written"
        )
        dataset = context.config.dataset.model_copy(update={"label": "Another <label>"})
        changed = replace(context, config=context.config.model_copy(update={"dataset": dataset}))
        write_report(changed)
    assert "<h1>Another &lt;label&gt;</h1>" in first.read_text(encoding="utf-8")


def test_a_page_that_is_none_is_written_over(context: Context, text: str) -> None:
    default_path(context).write_bytes(b"\xff\xfe half a page")
    with context.store.lock():
        assert write_report(context).read_text(encoding="utf-8") == text


def test_many_findings_and_long_sentences_stay_below_the_limit(context: Context) -> None:
    with context.store.lock(), gathered(context) as (report, _):
        case = next(case for case in report.cases if len(case.places) > 5)
        places = [
            place.model_copy(update={"value": "<" * 10_000})
            for place in (list(case.places) * PLACES)[:PLACES]
        ]
        long = case.finding.model_copy(update={"message": "&" * 100_000, "fix": "\x00" * 100_000})
        many = replace(
            report,
            cases=[replace(case, finding=long, places=places)] * 5_000,
            findings=[long] * 5_000,
        )
        text = render(many)
    assert len(text.encode()) < 5_000_000
    assert f"{5_000 - html.MOST_CASES:,} more findings are not shown here" in text


# -- before there is a verdict


def test_nothing_to_report(tmp_path: Path) -> None:
    context = write_hostile_lab(tmp_path)
    with context.store.lock(), pytest.raises(PipelineError, match="ingest has not run") as caught:
        write_report(context)
    assert "syndb-pipeline check" in caught.value.next_step


def test_what_has_not_run_is_of_an_earlier_run_or_is_gone_is_named(tmp_path: Path) -> None:
    context = check(write_hostile_lab(tmp_path), "assign_ids")

    def words() -> str:
        with gathered(context) as (report, _):
            assert report.verdict is None
            return " ".join(Page(render(report)).text.split())

    def found() -> list[str]:
        return [stage.state for stage in states(context.store)]

    with context.store.lock():
        with gathered(context) as (report, _):
            assert report.tables["vesicle"].rejected > 0
            assert {finding.code for finding in report.findings} >= {"SYN-TYPE-001", "SYN-COL-001"}
        assert "Not judged yet" in words()
        assert "join_relations has not run; check_integrity has not run" in words()

    check(context)
    (context.store.stage("assign_ids") / "failures.parquet").unlink()
    shutil.rmtree(context.store.stage("check_integrity"))
    with context.store.lock():
        assert found() == ["done", "done", "damaged", "outdated", "not run"]
        assert "assign_ids left files that were changed since" in words()

        (tmp_path / "axon.csv").write_text("cid,voxel_volume\n1,5e9\n2,5e9\n")
        run_stage(context, "ingest")
        assert found() == ["done", *["outdated"] * 3, "not run"]
        with gathered(context) as (report, _):
            codes = {finding.code for finding in report.findings}
            assert codes.isdisjoint({"SYN-REL-001", "SYN-COL-001"})


# -- pictures


EXTREMES = [0.0, -0.0, 5e-324, 1.7976931348623157e308, -1.7976931348623157e308, -1.0, 1.0]
VALUES = st.one_of(
    st.none(),
    st.floats(width=64),
    st.sampled_from([*EXTREMES, math.nan, math.inf]),
    st.floats(min_value=1, max_value=1e9),
)


@settings(max_examples=30, deadline=None)
@example(values=[1.5e308, 1.6e308])
@example(values=[-1.5e308, -1.6e308])
@example(values=[-1.7e308, *[1.0] * 200, 1.7e308])
@example(values=[5e-324, 1.0, 1.7e308])
@example(values=[5e-324, 4.4e-323])
@given(values=st.lists(VALUES, max_size=60))
def test_every_value_of_a_column_is_counted_once(
    values: list[float | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("column") / "vesicle.parquet"
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (voxel_radius DOUBLE)")
        if values:
            connection.executemany("INSERT INTO t VALUES (?)", [[value] for value in values])
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
        [measured] = histograms(connection, "vesicle", path)
    assert measured.rows == len(values)
    assert measured.given == sum(value is not None for value in values)
    finite = [value for value in values if value is not None and math.isfinite(value)]
    assert sum(measured.counts) + measured.below + measured.above == len(finite)
    assert measured.not_finite == measured.given - len(finite)
    assert (measured.minimum, measured.maximum) == (
        min(finite, default=None),
        max(finite, default=None),
    )
    assert measured.outside == sum(
        value is not None and -float("inf") < value <= 0 for value in values
    )
    drawn = str(histogram(measured))
    assert "nan" not in drawn and "inf" not in drawn
    assert bool(drawn) == bool(measured.counts)


def parquet(path: Path, query: str) -> Path:
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


def _measured(**values: object) -> Histogram:
    plain = Histogram(
        "vesicle",
        TABLES["vesicle"].columns["voxel_radius"],
        10,
        10,
        0,
        0,
        1.0,
        5.0,
        9.0,
        low=1.0,
        high=9.0,
        counts=(5, 0, 5),
    )
    return replace(plain, **values)  # type: ignore[arg-type]


def test_bounds_are_marked_where_they_lie_near() -> None:
    near = str(histogram(_measured(minimum=-4.0, low=-4.0, outside=5)))
    assert 'class="bound"' in near
    assert near.count('class="out"') == 1
    assert "5 outside" in near
    far = str(histogram(_measured(low=1_000.0, high=1_010.0)))
    assert 'class="bound"' not in far
    assert "allowed &gt; 0" in far


def test_values_beyond_the_axis_stand_at_its_ends() -> None:
    drawn = str(histogram(_measured(below=3, above=2)))
    assert "3 below" in drawn and "2 above" in drawn


def test_few_whole_numbers_have_a_bar_each(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = parquet(
        tmp_path / "axon.parquet", "SELECT unnest([1, 2, 2, 4])::BIGINT AS terminal_count"
    )
    [measured] = histograms(connection, "axon", path)
    assert measured.counts == (1, 2, 0, 1)
    assert (measured.low, measured.high) == (0.5, 4.5)


@pytest.mark.parametrize("rhythm", [2, 1_000_000])
def test_a_table_with_gaps_has_a_median_where_it_can(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, rhythm: int
) -> None:
    """Every other row empty, and a single value among so many that no sample has it."""
    path = parquet(
        tmp_path / "axon.parquet",
        f"SELECT CASE WHEN i % {rhythm} = 1 THEN 5e9 END AS voxel_volume FROM range(1_000_000) t(i)",
    )
    [measured] = histograms(connection, "axon", path)
    assert measured.given == 1_000_000 // rhythm == sum(measured.counts)
    assert measured.median == (5e9 if rhythm == 2 else None)
    assert "5e9" in str(histogram(measured))


def test_a_report_draws_from_the_summaries_in_the_record(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = parquet(
        tmp_path / "axon.parquet", "SELECT 1.5 * i::DOUBLE AS voxel_volume FROM range(100) t(i)"
    )
    take_sample(connection, path, ["voxel_volume"])
    _, summaries = summarise(connection, path, [TABLES["axon"].columns["voxel_volume"]])
    known = {
        name: Summary.model_validate_json(each.model_dump_json())
        for name, each in summaries.items()
    }
    assert histograms(connection, "axon", path, known) == histograms(connection, "axon", path)
    known["voxel_volume"] = known["voxel_volume"].model_copy(update={"median": 7.0})
    assert histograms(connection, "axon", path, known)[0].median == 7.0


def test_ids_and_codes_are_no_measurements(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = parquet(tmp_path / "synapse.parquet", "SELECT 9128000000000001 AS cave_id, 0.5 AS gaba")
    assert [measured.column.name for measured in histograms(connection, "synapse", path)] == [
        "gaba"
    ]


def test_a_volume_over_many_decades_has_a_logarithmic_axis(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = parquet(
        tmp_path / "axon.parquet", "SELECT pow(10, i / 10.0) AS voxel_volume FROM range(100) t(i)"
    )
    [measured] = histograms(connection, "axon", path)
    assert measured.log
    assert (round(measured.low, 6), round(measured.high, 6)) == (0.0, 9.9)
    assert max(measured.counts) - min(measured.counts) <= 4, "even in decades"


def test_centroids_are_sampled_the_same_way_every_time(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    few, many = tmp_path / "neuron.parquet", tmp_path / "synapse.parquet"
    connection.execute(
        "COPY (SELECT i::DOUBLE AS centroid_x, 2 * i::DOUBLE AS centroid_y FROM range(7) t(i)) TO"
        f" '{few}' (FORMAT parquet)"
    )
    connection.execute(
        "COPY (SELECT i::DOUBLE AS centroid_x, (-i)::DOUBLE AS centroid_y, if(i = 0,"
        f" 'nan'::DOUBLE, i::DOUBLE) AS centroid_z FROM range(50_000) t(i)) TO '{many}' (FORMAT"
        " parquet)"
    )
    sampled = clouds(connection, {"neuron": few, "synapse": many})
    assert [(cloud.table, cloud.rows) for cloud in sampled] == [("neuron", 7), ("synapse", 50_000)]
    assert len(sampled[0].points) == 7
    assert 3_000 < len(sampled[1].points) <= 4_000
    assert all(y == -x and z in (x, None) for x, y, z in sampled[1].points)
    assert sampled == clouds(connection, {"neuron": few, "synapse": many})
    assert "synapse" in scatter(sampled, 0, 1)
    assert scatter([Cloud("neuron", 1, [(1.0, 2.0, None)])], 0, 2) == "", "no z is given"


def test_the_hierarchy_says_resolved_rows_and_orphans() -> None:
    tables = {
        "neuron": Rows(read=2, passed=2, rejected=0),
        "axon": Rows(read=5, passed=3, rejected=2),
    }
    drawn = str(
        hierarchy(
            tables,
            [
                Relation("axon", "parent_id", "neuron", "only", 3, 2),
                Relation("axon", "neuron_id", "nucleus", "only", 1, 0),
            ],
        )
    )
    assert "2 orphans" in drawn
    assert "parent_id of axon leads to neuron: 3 rows resolved, 2 not found" in drawn
    assert "3 rows, 2 rejected" in drawn
    assert "not read" in drawn, "nucleus is not among the tables"
    assert "No table is related" in hierarchy(tables, [])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (12_345.6, "12,346"),
        (0.03125, "0.0312"),
        (3.8e8, "3.8e8"),
        (-1e-9, "-1e-9"),
        (999_999, "999,999"),
        (7.0, "7"),
    ],
)
def test_numbers_are_short(value: float, said: str) -> None:
    assert short(value) == said
