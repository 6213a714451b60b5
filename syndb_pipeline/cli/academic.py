"""Academic verification: a link that a person opens in a browser, and the wait until the server
knows.

Belongs here: showing the link, opening it, asking the server again. Does not: logging in
(`connection.py`).
"""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from typing import TYPE_CHECKING, Final

import typer

from syndb_pipeline.base.errors import Interrupted, NotVerified, Unreachable
from syndb_pipeline.cli import terminal

if TYPE_CHECKING:
    from syndb_pipeline.destinations.rest.destination import RestDestination

_POLL_SECONDS: Final = 2.0


def see_to_verification(server: RestDestination, *, browse: bool, seconds: float) -> None:
    """Show the link, open it where the person can see it, and wait at most `seconds` until the
    server knows.

    The link is https, or of this machine: the server's word on anything else is refused
    (`answers.require_safe`). Raises `NotVerified` when the time is over, `Interrupted` on
    Ctrl+C; the person stays logged in either way.
    """
    link = "".join(character for character in server.authorization_url() if character.isprintable())
    typer.echo("Your academic status is not verified; without it nothing can be uploaded.")
    typer.echo(f"Open this link in a browser, and follow what it says:\n\n{link}\n")
    if browse and _has_screen():
        terminal.note(
            "It opens by itself now." if webbrowser.open(link) else "No browser could be opened."
        )
    later = (
        f"You stay logged in. To go on: syndb-pipeline login --destination {server.name}\n"
        f"To see how far it is: syndb-pipeline whoami --destination {server.name}"
    )
    try:
        if seconds:
            terminal.note(f"Waiting for it, at most {_duration(seconds)}; Ctrl+C ends the waiting.")
        if _becomes_verified(server, seconds):
            typer.echo("Your academic status is verified.")
            return
    except KeyboardInterrupt:
        raise Interrupted(
            "Interrupted; your academic status is not verified yet.", next_step=later
        ) from None
    raise NotVerified(f"{server.name} has not verified your academic status yet.", next_step=later)


def _becomes_verified(server: RestDestination, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(_POLL_SECONDS, left))
        try:
            if server.who_am_i().verified:
                return True
        except (
            Unreachable
        ) as error:  # a person takes minutes for this, and a server may be away for one of them
            terminal.say(error.message)
    return False


def _has_screen() -> bool:
    """Whether a browser can show itself to the person at this terminal. One that runs inside the
    terminal would take it over.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"
