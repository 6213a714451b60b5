"""What became of datasets as figures for Prometheus.

Belongs here: which figures there are, taken from records. Does not: serving them; reading tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.publishing.overview import Line, State, overview
from syndb_pipeline.report.notify import name_of, said
from syndb_pipeline.state.attempts import Attempts
from syndb_pipeline.state.store import RECORDS, DatasetStore, PackageRecord

_FIGURES = {
    "dataset_state": ("1 for the state that the dataset is in, as `status` has it.", "state"),
    "dataset_late": ("Whether its last success is longer ago than its late_after.",),
    "last_success_timestamp_seconds": ("When it was published, or nothing was to be sent.",),
    "rows": ("Rows of its last checks: read = passed + rejected.", "table", "kind"),
    "findings": ("Places that its last checks found.", "code", "severity"),
    "stage_seconds": ("How long the last run of a stage took that had work to do.", "stage"),
    "package_bytes": ("Size of its package.",),
    "attempts_total": (
        "Ends of attempts to prepare or publish; of equal ones in a row, the first.",
        "outcome",
    ),
}
"""Figure of a dataset -> what it is, and its labels beside the dataset."""

_NOTICES = "syndb_notification_undelivered"


def metrics_text(settings: PipelineSettings) -> bytes:
    """The figures of all known datasets in Prometheus' text format. Raises `ConfigError` where the
    library for it is not installed."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ModuleNotFoundError:
        raise ConfigError(
            "Metrics need prometheus-client, which is not installed.",
            next_step='Install it: pip install "syndb-pipeline[operate]"',
        ) from None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(settings))
    return generate_latest(registry)


class _Figures:
    """What a registry collects."""

    def __init__(self, settings: PipelineSettings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        kinds = {False: GaugeMetricFamily, True: CounterMetricFamily}
        families = {
            name: kinds[name.endswith("_total")](f"syndb_{name}", text, labels=["dataset", *labels])
            for name, (text, *labels) in _FIGURES.items()
        }
        for line in overview(self._settings):
            for name, value, *labels in self._of(line):
                families[name].add_metric([line.name, *labels], value)
        yield from families.values()
        undelivered = GaugeMetricFamily(
            _NOTICES, "Whether the last message to a channel did not arrive.", labels=["channel"]
        )
        for channel, own in said(self._settings):
            undelivered.add_metric([name_of(channel)], bool(own.undelivered))
        yield undelivered

    def _of(self, line: Line) -> Iterator[tuple[Any, ...]]:
        """The figures of a dataset: name, value, labels."""
        yield from (("dataset_state", line.state == state, state) for state in get_args(State))
        yield "dataset_late", line.late
        if line.last_success:
            yield "last_success_timestamp_seconds", line.last_success.timestamp()
        if line.dataset is None:
            return
        store = DatasetStore(self._settings.state, line.dataset)
        records = {stage: record for stage in RECORDS if (record := store.record(stage))}
        for stage, record in records.items():
            if record.run:
                yield "stage_seconds", record.run.seconds, stage
        if verdict := records.get("check_integrity"):
            for table, rows in verdict.tables.items():
                for kind in ("read", "passed", "rejected"):
                    yield "rows", getattr(rows, kind), table, kind
            counts: Counter[tuple[str, str]] = Counter()
            for finding in verdict.findings:
                counts[finding.code, finding.severity] += finding.count
            yield from (("findings", count, *labels) for labels, count in counts.items())
        if isinstance(package := records.get("package"), PackageRecord):
            yield "package_bytes", package.details.tar.bytes
        try:
            ends = Counter(end.exit.name.lower() for end in Attempts(store.folder).history())
        except PipelineError:
            return  # damaged: `history` says so
        yield from (("attempts_total", count, outcome) for outcome, count in ends.items())
