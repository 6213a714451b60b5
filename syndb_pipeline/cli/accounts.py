"""Who we are at a server: which one is meant, secrets asked for, the log-in and what is kept of it,
academic verification.

Belongs here: what the commands for an account do. Does not: their options (`connection.py`), where
secrets are kept (`credentials.py`), HTTP.
"""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from pathlib import Path
from typing import Final

import typer
from pydantic import SecretStr

from syndb_pipeline.base.errors import (
    ConfigError,
    Interrupted,
    NotLoggedIn,
    NotVerified,
    PipelineError,
    Unreachable,
)
from syndb_pipeline.cli import terminal
from syndb_pipeline.cli.doctor import impatient, variables_of, where
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations import default_destination, open_destination, require_named
from syndb_pipeline.destinations.base import Identity
from syndb_pipeline.destinations.http import HttpDestination, credentials
from syndb_pipeline.destinations.http.client import HttpClient

_LONGEST_SECRET: Final = 64 * 1024
_POLL_SECONDS: Final = 2.0


# Which server


def open_server(settings: Path | None, named: str | None, command: str) -> HttpClient:
    """The server of pipeline.yaml that is meant, asked without long patience. Raises
    `ConfigError`."""
    loaded = impatient(terminal.open_settings(settings))
    name = _only_server(loaded, named, command)
    server = open_destination(loaded, name, terminal.say)
    if not isinstance(server, HttpClient):
        raise ConfigError(f"{name} is a folder; there is no server to log in to.")
    return server


def _only_server(settings: PipelineSettings, named: str | None, command: str) -> str:
    """The name of the server that is meant; `named`, or the only one. Raises `ConfigError`, and
    says how to add one where there is none."""
    servers = [
        name for name, own in settings.destinations.items() if isinstance(own, HttpDestination)
    ]
    if named is not None and settings.destinations:
        require_named(settings, named)
        return named
    if len(servers) == 1:
        return servers[0]
    if servers:
        raise ConfigError(
            f"pipeline.yaml names several servers: {', '.join(servers)}.",
            next_step=f"Say which: syndb-pipeline {command} --destination {servers[0]}",
        )
    found = settings.file
    missing = "" if found else ", and no pipeline.yaml"
    place = f"Write these lines to {Path.cwd() / 'pipeline.yaml'}"
    if found:
        place = f"Add the last line to {found}, below `destinations:`"
    raise ConfigError(
        f"There is no server to log in to{missing}.",
        next_step=f"{place}, with the address of your SynDB:\n\ndestinations:\n"
        "  syndb: {kind: rest, url: 'https://api.example.org'}\n\n"
        "To rehearse on this machine first: syndb-pipeline sandbox",
    )


# Logging in and out


def log_in(
    server: HttpClient,
    username: str | None,
    *,
    token: bool,
    from_stdin: bool,
    remember: bool,
    service: bool = False,
) -> Identity:
    """Log in, keep the token, and say who one is; nothing where a kept token still does it.

    Args:
        server: Where to.
        username: As whom; asked for, or of the environment, for None.
        token: A token is given in place of name and password.
        from_stdin: The secret is standard input's first line.
        remember: The password is kept too.
        service: A service account of this name is made first, unless there is one.
    """
    name, log = server.name, terminal.say
    if token and (username or remember or service):
        raise ConfigError(
            "--token goes with neither --username nor --remember-password nor --service.",
            next_step="Leave --token out, or the others.",
        )
    present = credentials.in_environment(name, server.config)
    if not (token or username or from_stdin or remember or present or service):
        kept = credentials.kept(server.origin, log=log)
        # What is kept with a token that renews it is looked up, and renewed, by who asks.
        if kept and kept.token and (who := _identity(server, None if kept.refresh else kept.token)):
            typer.echo(
                f"You are logged in to {name} already, as {who.name}. To be somebody else, give"
                " --username."
            )
            return who
    password = None
    if token or (present and not present.username and not username and not from_stdin):
        own = None if token or present is None else present.token
        given = credentials.checked_token(own or _secret("Token", name, from_stdin))
        known = _identity(server, given)
        if known is None:
            raise NotLoggedIn(
                f"{name} ({server.target}) does not know this token; nothing was kept.",
                next_step="Copy it again, whole; or log in with name and password: "
                "syndb-pipeline login",
            )
        who = known
    else:
        username, password = _name_and_password(server, username, from_stdin)
        if service:
            of_service = credentials.service_secret(name, server.config)
            server.register_service(username, password, of_service)
        given = server.login(username, password)
        who = server.who_am_i()
    secret = password if remember else None
    place = credentials.remember(
        server.origin,
        token=given,
        refresh=server.refresh,
        username=username,
        password=secret,
        log=log,
    )
    kept_in = "the keyring"
    if place == "file":
        kept_in = f"{credentials.credentials_file()} (mode 0600)"
    typer.echo(f"Logged in to {name} ({server.target}) as {who.name}.")
    typer.echo(f"The token {'and the password are' if secret else 'is'} kept in {kept_in}.")
    _note_environment(server)
    return who


def log_out(server: HttpClient) -> None:
    """Make the kept token worthless at the server, and forget it here, whatever the server says."""
    kept = credentials.kept(server.origin, log=terminal.say)
    not_done: PipelineError | None = None
    if kept is not None and kept.token is not None:
        server.use(kept.token)
        server.refresh = kept.refresh
        try:
            server.logout()
        except PipelineError as error:
            not_done = error
    forgotten = credentials.forget(server.origin, log=terminal.say)
    typer.echo(
        f"Logged out of {server.name}."
        if forgotten
        else f"Nothing was kept for {server.name} ({server.origin})."
    )
    _note_environment(server)
    if not_done is not None:
        raise type(not_done)(
            f"What was kept here is forgotten, but not by {server.name}: {not_done.message}",
            next_step="The token stays good there until it ends by itself.",
        )


def who_at(settings: Path | None, destination: str | None) -> tuple[dict[str, object], str]:
    """Who a destination takes us for: what is printed as JSON, and in words by which
    credentials."""
    loaded = impatient(terminal.open_settings(settings))
    servers = [own for own in loaded.destinations.values() if isinstance(own, HttpDestination)]
    if destination is None and loaded.destinations and not servers:
        destination = default_destination(loaded)
    name = _only_server(loaded, destination, "whoami")
    node, own = open_destination(loaded, name, terminal.say), loaded.destinations[name]
    who, count = node.who_am_i(), len(node.modifiable())
    found, place = None, "none needed: it is no server"
    if isinstance(own, HttpDestination):
        found = credentials.find(name, own)
        place = where(name, found) if found else "none"
    shown: dict[str, object] = {
        "name": who.name,
        "id": who.id,
        "verified": who.verified,
        "destination": name,
        "address": own.url if isinstance(own, HttpDestination) else str(own.path),
        "credentials": found.source if found else None,
        "modifiable": count,
    }
    return shown, place


def _identity(server: HttpClient, token: SecretStr | None) -> Identity | None:
    """Ask with this token from now on, None with what is kept; whose it is, None when the server
    does not know it."""
    server.use(token)
    try:
        return server.who_am_i()
    except NotLoggedIn:
        return None


def _note_environment(server: HttpClient) -> None:
    present = credentials.in_environment(server.name, server.config)
    if present is not None:
        variables = " and ".join(variables_of(server.name, present))
        terminal.note(f"Note: every command takes {variables} before anything that is kept.")


# Secrets


def _name_and_password(
    server: HttpClient, username: str | None, from_stdin: bool
) -> tuple[str, SecretStr]:
    """What to log in with at `server`: given, from the environment, or asked for."""
    name = server.name
    if from_stdin and username is None:
        raise ConfigError(
            "--password-stdin reads a password, but whose?",
            next_step="Add --username NAME; or --token, for a token.",
        )
    if not from_stdin:
        present = credentials.in_environment(name, server.config)
        same = present and username in (None, present.username)
        if present and same and present.username and present.password:
            return present.username, present.password
        if (refusal := credentials.not_meant_for(name, server.config)) is not None:
            raise refusal
    if username is None:
        _require_terminal(name)
        username = terminal.ask_person(f"User name at {name}", err=True)
    return username, _secret(f"Password of {username}", name, from_stdin)


def _secret(what: str, name: str, from_stdin: bool) -> SecretStr:
    """A secret, typed without echo or read from standard input's first line. Raises `ConfigError`
    where neither can be."""
    if not from_stdin:
        _require_terminal(name)
        return SecretStr(terminal.ask_person(what, hide_input=True, err=True))
    line = sys.stdin.buffer.readline(_LONGEST_SECRET)
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""  # its error would quote the secret
    if not text:
        raise ConfigError(
            "There is no secret in the first line of standard input.",
            next_step="Give it as a line of UTF-8 text.",
        )
    return SecretStr(text)


def _require_terminal(name: str) -> None:
    if sys.stdin.isatty():
        return
    token, username, password = credentials.variables_of(name)
    raise ConfigError(
        "There is no terminal to ask at, and there are no credentials in the environment.",
        next_step=f"Set {username} and {password}, or {token}.\n"
        "Or pipe the password: syndb-pipeline login --username NAME --password-stdin < FILE",
    )


# Academic verification


def see_to_verification(server: HttpClient, *, browse: bool, seconds: float) -> None:
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
    end = time.monotonic() + seconds
    try:
        if seconds:
            terminal.note(f"Waiting for it, at most {seconds:.0f} s; Ctrl+C ends the waiting.")
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(_POLL_SECONDS, left))
            try:
                if server.who_am_i().verified:
                    typer.echo("Your academic status is verified.")
                    return
            except Unreachable as error:  # a person takes minutes, of which it may be away for one
                terminal.say(error.message)
    except KeyboardInterrupt:
        raise Interrupted(
            "Interrupted; your academic status is not verified yet.", next_step=later
        ) from None
    raise NotVerified(f"{server.name} has not verified your academic status yet.", next_step=later)


def _has_screen() -> bool:
    """Whether a browser can show itself to the person at this terminal. One that runs inside the
    terminal would take it over.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    )
