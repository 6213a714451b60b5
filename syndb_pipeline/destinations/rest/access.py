"""The token that a server is asked with: found, asked for with name and password, renewed.

Belongs here: when to log in, and what a person does where that fails. Does not: where secrets are
kept (`credentials.py`), or the log-in's route (`client.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from pydantic import SecretStr

from syndb_pipeline.destinations.rest.credentials import (
    Credentials,
    Log,
    find,
    in_environment,
    variables_of,
)
from syndb_pipeline.destinations.rest.settings import RestDestination


def log_in_again(destination: str, server: RestDestination, username: str | None = None) -> str:
    """What a person does when a server does not take what was found, or the password of `username`.

    A log-in changes nothing where the environment has credentials.
    """
    present = in_environment(destination, server)
    command = f"Log in with: syndb-pipeline login --destination {destination}"
    if present is None or username not in (None, present.username):
        return command
    token, *pair = variables_of(destination)
    # A token of the environment is tried first; a name and a password renew it, so they are what
    # was refused last.
    wrong = " and ".join(pair) if present.username else token
    return (
        f"Correct {wrong} in the environment; or unset what is there, for it goes before what a "
        f"log-in keeps.\n{command}"
    )


class Access:
    """The token for a server. Nothing is looked up before it is needed. Threads share it."""

    def __init__(
        self,
        destination: str,
        server: RestDestination,
        log: Log,
        log_in: Callable[[str, SecretStr], SecretStr],
    ) -> None:
        self._destination = destination
        self._server = server
        self._log = log
        self._log_in = log_in
        self._lock = threading.Lock()
        self._asked = False
        self._found: Credentials | None = None
        self._given: SecretStr | None = None

    def use(self, token: SecretStr | None) -> None:
        """Take this token instead of what is kept; None: what is kept again."""
        with self._lock:
            self._given = token
            self._asked = False

    def token(self) -> SecretStr | None:
        """The token; with a name and a password and no token yet, one that a log-in gives. None
        when there is nothing to log in with."""
        with self._lock:
            found = self._current()
            if found is not None and found.token is None:
                self._renew(found)
            return self._token()

    def renew(self, refused: SecretStr | None) -> bool:
        """Whether there is another token than the `refused` one: another thread's, or that of a new
        log-in."""
        with self._lock:
            if self._token() != refused:
                return True
            found = self._current()
            if found is None or found.password is None:
                return False
            self._log(
                f"{self._destination} does not take the token any more; "
                f"logging in again as {found.username}"
            )
            self._renew(found)
            return True

    def _token(self) -> SecretStr | None:
        return self._given or (self._found.token if self._found else None)

    def _current(self) -> Credentials | None:
        """What was found; None as long as another token is given."""
        if self._given is not None:
            return None
        if not self._asked:
            self._found = find(self._destination, self._server, log=self._log)
            self._asked = True
        return self._found

    def _renew(self, found: Credentials) -> None:
        assert found.username is not None and found.password is not None
        token = self._log_in(found.username, found.password)
        self._found = found.renewed(self._server.origin, token, log=self._log)
