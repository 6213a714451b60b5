"""Running stages: skip what is unchanged, write beside and rename, link the records into a chain.

Belongs here: what is the same for every stage. Does not: what any one of them does.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version

from syndb_pipeline import __version__
from syndb_pipeline.base.errors import Exit, PipelineError
from syndb_pipeline.base.system import peak_memory
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.stages import (
    assign_ids,
    check_integrity,
    ingest,
    join_relations,
    package,
    validate,
)
from syndb_pipeline.state.attempts import Attempts
from syndb_pipeline.state.registry import claim
from syndb_pipeline.state.stage import Context, Former, Stage
from syndb_pipeline.state.store import RECORDS, Record, Run, VerdictRecord, describe_outputs

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        ingest.STAGE,
        validate.STAGE,
        assign_ids.STAGE,
        join_relations.STAGE,
        check_integrity.STAGE,
        package.STAGE,
    )
}
"""The stages up to the package, in their order. `publish` is no stage of this kind: sending twice
is not the same as sending once.
"""

LIBRARIES = (
    "duckdb",
    "pandera",
    "polars",
    "pyarrow",
    "python-calamine",
    "syndb-constants",
    "neurometa",
)


@cache
def _installed() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def versions(stage: Stage) -> dict[str, str]:
    """Every version that may change what `stage` gives: ours, the stage's, and those of the
    libraries that read, check and write.
    """
    return {"syndb-pipeline": __version__, stage.name: stage.version} | _installed()


def expected_inputs(context: Context, stage: Stage) -> dict[str, str]:
    """Digests of everything `stage` would read now. Raises `PipelineError` when the stage before it
    was not run.
    """
    upstream = context.store.record(stage.after) if stage.after else None
    if stage.after and upstream is None:
        raise PipelineError(
            f"{stage.name} needs {stage.after}, which has not run.",
            next_step=f"Run {stage.after} first.",
        )
    inputs = stage.inputs(context)
    return inputs | ({f"record:{stage.after}": upstream.digest} if upstream else {})


def _matches(context: Context, stage: Stage, record: Record | None, inputs: dict[str, str]) -> bool:
    return (
        record is not None
        and record.versions == versions(stage)
        and record.inputs == inputs
        and not context.store.mismatches(record)
    )


def _require_one_chain(context: Context, stage: Stage) -> None:
    """Raise `PipelineError` when stages before `stage` were made from different runs of one
    another.

    A stage reads what several earlier ones left and puts their rows side by side by number, so they
    must be of one run.
    """
    later = STAGES[stage.after] if stage.after else None
    while later is not None and later.after is not None:
        record, before = context.upstream(later.name), context.upstream(later.after)
        if record.inputs.get(f"record:{later.after}") != before.digest:
            raise PipelineError(
                f"{later.name} was made from an earlier run of {later.after}, so {stage.name}"
                " cannot use both.",
                next_step=f"Run {later.name} and the stages after it again.",
            )
        later = STAGES[later.after]


def run_stage(context: Context, name: str, *, force: bool = False) -> Record:
    """Run one stage from what the stage before it left, or do nothing when nothing changed. The
    dataset's lock must be held. How it ends is kept (`state/attempts.py`).

    Returns the stage's record. Findings do not raise: they are in the record. Raises
    `PipelineError` when the stage before it was not run, the stages before it do not belong
    together, or the dataset is another config's.
    """
    claim(context.settings, context.config)
    stage, before = STAGES[name], [*STAGES][: [*STAGES].index(name)]
    attempts = Attempts(context.store.folder)
    with attempts.attempt("prepare", name, settles=before) as outcome:
        record = _run(context, stage, force=force)
        if isinstance(record, VerdictRecord) and not record.details.accepted:
            outcome.exit, outcome.message = Exit.REJECTED, rejection(record)
    return record


def rejection(record: Record) -> str:
    """In a sentence, what the verdict of a record was given for."""
    codes = dict.fromkeys(f"{RULES[each.code].title} ({each.table})" for each in record.errors)
    more = f" and {len(codes) - 3} more" if len(codes) > 3 else ""
    return f"The data were rejected: {', '.join([*codes][:3])}{more}."


def _run(context: Context, stage: Stage, *, force: bool) -> Record:
    inputs, name = expected_inputs(context, stage), stage.name
    _require_one_chain(context, stage)
    existing = context.store.record(name)
    if existing is not None and not force and _matches(context, stage, existing, inputs):
        context.say(f"{name}: unchanged")
        context.store.record_path(name).touch()  # its time says when it was last found to hold
        return existing
    folder = context.store.scratch / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started, clock = datetime.now(UTC), time.perf_counter()
    context.say(f"{name}: started")
    usable = existing is not None and not force and existing.versions == versions(stage)
    former = Former(existing, context.store.stage(name)) if existing and usable else None
    result = stage.run(replace(context, former=former), folder)
    seconds = time.perf_counter() - clock
    rows = sum(table.read for table in result.tables.values())
    record = RECORDS[name](
        stage=name,
        dataset=context.dataset,
        inputs=inputs,
        versions=versions(stage),
        outputs=describe_outputs(folder),
        tables=result.tables,
        findings=result.findings,
        details=result.details,
        run=Run(
            started=started,
            seconds=round(seconds, 3),
            rows_per_second=round(rows / seconds, 1) if seconds else 0.0,
            peak_memory_bytes=peak_memory(),
        ),
    )
    context.store.commit(folder, record)
    errors = len(record.errors)
    context.say(f"{name}: done in {seconds:.1f} s, {errors} error{'' if errors == 1 else 's'}")
    return record


def run_through(context: Context, last: str, first: str = "ingest") -> Iterator[Record]:
    """Run the stages in their order from `first` up to and including `last`, giving each record as
    it is made.

    Stages up to `check_integrity` run whatever the earlier ones found, so that one run says
    everything; `package` runs only on an accepted verdict. The dataset's lock must be held.
    """
    names = [*STAGES]
    for name in names[names.index(first) : names.index(last) + 1]:
        record = run_stage(context, name)
        yield record
        if isinstance(record, VerdictRecord) and not record.details.accepted:
            return
