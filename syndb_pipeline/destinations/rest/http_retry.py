"""The one layer that sends a request again: how often, how long to wait in between, and telling it.

Belongs here: counting and waiting. Does not: which failures may be tried again (`http.py`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

_FIRST_WAIT, _LONGEST_WAIT, _JITTER = 0.5, 30.0, 0.5
_LONGEST_TOLD: Final = 10 * 365 * 24 * 3600.0

Say = Callable[[str], None]


class Failed(Exception):
    """An attempt that failed and may be made again: after `wait` seconds when the server named
    them, and before `deadline` (monotonic).

    `come_again` says when, if that is beyond the deadline; then it is not made again.
    """

    def __init__(
        self, told: str, say: Say, attempts: int, deadline: float, wait: float | None = None
    ) -> None:
        super().__init__(told)
        self.told = told
        self.say = say
        self.attempts = attempts
        self.come_again = ""
        left = deadline - time.monotonic()
        if wait is not None:
            if wait > left:
                moment = datetime.now(UTC) + timedelta(seconds=min(wait, _LONGEST_TOLD))
                self.come_again = (
                    f"It asks to be left alone until {moment:%Y-%m-%d %H:%M:%S} UTC; give the same"
                    " command again after that."
                )
            wait += random.uniform(0, min(_JITTER, wait / 10))
        elif left <= 0:
            self.come_again = (
                "The limit for one request with all its attempts, total_seconds, is over; try again"
                " later."
            )
        self.wait = wait


def attempts(number: int, seconds: float) -> Iterator[stamina.Attempt]:
    """Attempts to be made in `with`: one that raises `Failed` is made again after a while. The last
    one's `Failed` is raised.
    """
    return iter(
        stamina.retry_context(
            on=_wait,
            attempts=number,
            timeout=seconds,
            wait_initial=_FIRST_WAIT,
            wait_max=_LONGEST_WAIT,
            wait_jitter=_JITTER,
        )
    )


def _wait(error: Exception) -> bool | float:
    if not isinstance(error, Failed) or error.come_again:
        return False
    return True if error.wait is None else error.wait


def _tell(details: RetryDetails) -> None:
    failed = details.caused_by
    if isinstance(failed, Failed):
        failed.say(
            f"{failed.told.rstrip('.')}; waiting {details.wait_for:.1f} s, attempt"
            f" {details.retry_num + 1} of {failed.attempts}"
        )


# Who asked is told through `say`; the hooks that stamina has by default would log the same again
# without words.
set_on_retry_hooks([_tell])
