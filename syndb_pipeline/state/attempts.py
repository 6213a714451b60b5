"""How the last attempt to prepare a dataset, and the last to publish it, ended, whoever started it.

Belongs here: keeping that, and distinguishing an attempt that is under way from one whose process
is gone. Does not: judging it (`publishing/overview.py`).

    attempts/<kind>.json      the end of the newest
    attempts/<kind>.running   there while one is under way, and after one whose process was killed
    attempts/.<kind>.lock     held while one is under way
    attempts/history.jsonl    each end that is another than the one before
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from syndb_pipeline.base.errors import Busy, Exit, PipelineError, of_the_machine
from syndb_pipeline.state.locks import hold
from syndb_pipeline.state.store import append_line, whole_lines, write_atomically

_LOOKED_AT: Final = 10.0

Kind = Literal["prepare", "publish"]


class End(BaseModel):
    """How an attempt at `step`, a stage or `publish`, ended; `since` is when the first of those in
    a row ended that way."""

    model_config = ConfigDict(frozen=True)

    step: str
    started: datetime
    ended: datetime
    since: datetime
    exit: Exit = Exit.OK
    message: str = ""
    next_step: str = ""

    @property
    def succeeded(self) -> bool:
        return self.exit is Exit.OK


@dataclass(frozen=True)
class Last:
    """The newest attempts of one kind: the `end` of the last that came to one; `started` of one
    after it, which is `running` or else broke off."""

    end: End | None
    step: str = ""
    started: datetime | None = None
    running: bool = False

    @property
    def broke_off(self) -> bool:
        return self.started is not None and not self.running


@dataclass
class Outcome:
    """What an attempt ends with; one that raises nothing may say so itself."""

    exit: Exit = Exit.OK
    message: str = ""
    next_step: str = ""


LOST: Final = Outcome(
    Exit.INTERNAL, "It broke off: its process was killed, or the machine stopped."
)


class Attempts:
    """The `attempts` folder below that of a dataset's store."""

    def __init__(self, store: Path) -> None:
        self._folder = store / "attempts"

    def last(self, kind: Kind) -> Last:
        """The newest attempts. An end that cannot be read is as none: the next one is written."""
        end = self._end(kind)
        try:
            step, _, started = self._running(kind).read_text("utf-8").partition(" ")
            return Last(end, step, datetime.fromisoformat(started), self._is_held(kind))
        except (FileNotFoundError, ValueError):
            return Last(end)  # none, or it starts this moment, or the machine stopped when it did

    def history(self) -> list[End]:
        """Each end that was another than the one before, oldest first. Raises `PipelineError`."""
        path = self._folder / "history.jsonl"
        try:
            return [End.model_validate_json(line) for line in whole_lines(path)]
        except ValidationError:
            raise PipelineError(
                f"{path}: not written by this program, or damaged.",
                next_step="Restore it from a backup, or remove it: nothing rests on it.",
            ) from None

    @contextmanager
    def attempt(self, kind: Kind, step: str, *, settles: Collection[str] = ()) -> Iterator[Outcome]:
        """Keep how the block ends. The lock that guards what is done in it must be held.

        Args:
            kind: Which of the two ends it is.
            step: A stage, or `publish`.
            settles: The earlier steps: a failure of theirs is over when this one succeeds.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        before, start = self.last(kind), datetime.now(UTC)
        if before.broke_off and before.started is not None:
            self._keep(kind, _end(before.step, before.started, LOST))
        outcome = Outcome()
        # The lock ends with the process, however that ends. Who looks at it holds it for a moment.
        with hold(self._lock(kind), "Another attempt is under way.", wait=_LOOKED_AT):
            self._running(kind).write_text(f"{step} {start.isoformat()}", encoding="utf-8")
            try:
                yield outcome
            except BaseException as error:
                outcome = _outcome(error)
                raise
            finally:
                # The disk may be what failed: then the file that stays says that it broke off.
                with suppress(OSError):
                    end = _end(step, start, outcome)
                    if self._says_more(kind, end, settles):
                        self._keep(kind, end)
                    self._running(kind).unlink()

    def _says_more(self, kind: Kind, end: End, settles: Collection[str]) -> bool:
        """Whether `end` is to be kept beside the one that is."""
        if end.exit is Exit.BUSY:
            return False  # the other attempt will say how it ended
        if kind == "publish" or not end.succeeded:
            return True
        kept = self._end(kind)
        return kept is not None and not kept.succeeded and kept.step in (end.step, *settles)

    def _keep(self, kind: Kind, end: End) -> None:
        kept = self._end(kind)
        if kept and (kept.exit, kept.message) == (end.exit, end.message):
            end = end.model_copy(update={"since": kept.since})
        elif kept or not end.succeeded:
            append_line(self._folder / "history.jsonl", end.model_dump_json())
        write_atomically(self._folder / f"{kind}.json", end.model_dump_json(indent=1) + "\n")

    def _end(self, kind: Kind) -> End | None:
        try:
            return End.model_validate_json((self._folder / f"{kind}.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _running(self, kind: Kind) -> Path:
        return self._folder / f"{kind}.running"

    def _lock(self, kind: Kind) -> Path:
        return self._folder / f".{kind}.lock"

    def _is_held(self, kind: Kind) -> bool:
        try:
            with hold(self._lock(kind), ""):
                return False
        except Busy:
            return True


def _end(step: str, started: datetime, outcome: Outcome) -> End:
    now = datetime.now(UTC)
    return End(step=step, started=started, ended=now, since=now, **vars(outcome))


def _outcome(error: BaseException) -> Outcome:
    if not isinstance(error, Exception):
        return Outcome(Exit.INTERRUPTED, "It was interrupted.")
    known = error if isinstance(error, PipelineError) else of_the_machine(error)
    if known is None:
        return Outcome(Exit.INTERNAL, f"It failed in a way it should not: {error!r}")
    return Outcome(known.exit, known.message, known.next_step)
