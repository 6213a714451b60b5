"""The commands about a server and who we are there: log in, log out, look whether all is ready,
rehearse on this machine.

Belongs here: asking a person for secrets, and showing what a server says of us. Does not: keeping
secrets (`credentials.py`), HTTP, checks.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from syndb_pipeline.base.errors import ConfigError, NotLoggedIn, PipelineError
from syndb_pipeline.cli import terminal
from syndb_pipeline.cli.terminal import AsJson, Settings

if TYPE_CHECKING:
    from pydantic import SecretStr

    from syndb_pipeline.cli.doctor import Check
    from syndb_pipeline.config.settings import PipelineSettings
    from syndb_pipeline.destinations.base import Identity
    from syndb_pipeline.destinations.rest.destination import RestDestination

WIDTH: Final = 80
_VERIFY_SECONDS: Final = 600
_LONGEST_SECRET: Final = 64 * 1024

Server = Annotated[
    str | None,
    typer.Option(
        "--destination",
        metavar="NAME",
        help="A server of pipeline.yaml; the only one when left out.",
    ),
]


def login(
    destination: Server = None,
    username: Annotated[
        str | None,
        typer.Option("--username", metavar="NAME", help="User name, often an e-mail address."),
    ] = None,
    token: Annotated[
        bool, typer.Option("--token", help="Give a token in place of name and password.")
    ] = False,
    password_stdin: Annotated[
        bool,
        typer.Option("--password-stdin", help="Read the password (or token) from standard input."),
    ] = False,
    remember_password: Annotated[
        bool,
        typer.Option(
            "--remember-password",
            help="Keep the password too, so that unattended runs can renew the token.",
        ),
    ] = False,
    no_browser: Annotated[
        bool,
        typer.Option(
            "--no-browser", help="Show the link of academic verification without opening it."
        ),
    ] = False,
    wait: Annotated[
        int,
        typer.Option(
            "--wait", metavar="SECONDS", min=0, help="How long to wait for the verification."
        ),
    ] = _VERIFY_SECONDS,
    settings: Settings = None,
) -> None:
    """Log in to a server, and follow the link of academic verification where that is due.

    Name and password are asked for, the password without echo; or they are
    taken from the environment variables SYNDB_USERNAME__NAME and
    SYNDB_PASSWORD__NAME, or a token from SYNDB_TOKEN__NAME, where NAME is the
    destination's in capitals. The token is kept in the keyring, or in a file
    that only you can read. No option takes a secret: others can see options.
    """
    from syndb_pipeline.cli.academic import see_to_verification
    from syndb_pipeline.destinations.rest import credentials

    if token and (username or remember_password):
        raise ConfigError(
            "--token goes with neither --username nor --remember-password.",
            next_step="Leave --token out, or the others.",
        )
    server = _server(settings, destination, "login")
    present = credentials.in_environment(server.name, server.config)
    nothing_given = not (token or username or password_stdin or remember_password or present)
    who = _still_known(server) if nothing_given else None
    if who is not None:
        typer.echo(
            f"You are logged in to {server.name} already, as {who.name}. To be somebody else, give"
            " --username."
        )
    else:
        password: SecretStr | None = None
        if token or (present and not present.username and not username and not password_stdin):
            own = None if token else present and present.token
            given = own or _secret("Token", server.name, password_stdin)
            who = _use_token(server, given)
        else:
            username, password = _name_and_password(server, username, password_stdin)
            given = server.login(username, password)
            who = server.who_am_i()
        kept = password if remember_password else None
        place = credentials.remember(
            server.origin, token=given, username=username, password=kept, log=terminal.say
        )
        where = (
            "the keyring" if place == "keyring" else f"{credentials.credentials_file()} (mode 0600)"
        )
        typer.echo(f"Logged in to {server.name} ({server.target}) as {who.name}.")
        typer.echo(f"The token {'and the password are' if kept else 'is'} kept in {where}.")
        _warn_of_environment(server)
    if who.verified:
        typer.echo("Your academic status is verified.")
    else:
        see_to_verification(server, browse=not no_browser, seconds=wait)


def logout(destination: Server = None, settings: Settings = None) -> None:
    """Make the kept token worthless at the server, and forget it here."""
    from syndb_pipeline.destinations.rest import credentials

    server = _server(settings, destination, "logout")
    kept = credentials.kept(server.origin, log=terminal.say)
    not_done: PipelineError | None = None
    if kept is not None and kept.token is not None:
        server.use(kept.token)
        try:
            server.logout()
        except PipelineError as error:  # what is kept here goes all the same
            not_done = error
    forgotten = credentials.forget(server.origin, log=terminal.say)
    typer.echo(
        f"Logged out of {server.name}."
        if forgotten
        else f"Nothing was kept for {server.name} ({server.origin})."
    )
    _warn_of_environment(server)
    if not_done is not None:
        raise type(not_done)(
            f"What was kept here is forgotten, but not by {server.name}: {not_done.message}",
            next_step="The token stays good there until it ends by itself.",
        )


def whoami(destination: Server = None, settings: Settings = None, as_json: AsJson = False) -> None:
    """Who a destination takes you for, and by which credentials."""
    from syndb_pipeline.cli.doctor import impatient, where
    from syndb_pipeline.destinations import default_destination, open_destination
    from syndb_pipeline.destinations.embedded import EmbeddedDestination
    from syndb_pipeline.destinations.rest import credentials

    loaded = impatient(terminal.open_settings(settings))
    if destination is None and not _servers(loaded):
        destination = default_destination(loaded)
    name = destination
    if name is None or name not in loaded.destinations:
        name = _only_server(loaded, destination, "whoami")
    node = open_destination(loaded, name, terminal.say)
    own = loaded.destinations[name]
    who, count = node.who_am_i(), len(node.modifiable())
    if isinstance(own, EmbeddedDestination):
        address, found = str(own.path), None
        place = "none needed: a SynDB in a folder of this machine"
    else:
        address, found = own.url, credentials.find(name, own)
        place = where(name, found) if found else "none"
    if as_json:
        _print_json(
            name=who.name,
            id=who.id,
            verified=who.verified,
            destination=name,
            address=address,
            credentials=found.source if found else None,
            modifiable=count,
        )
        return
    typer.echo(who.name)
    for label, value in {
        "destination": f"{name}, {address}",
        "verified": "yes"
        if who.verified
        else "no; the last line leads to the link of verification",
        "credentials": place,
        "datasets": f"{count:,} you may upload to",
    }.items():
        typer.echo(_wrapped(f"  {label:<13} ", value))
    if not who.verified:
        typer.echo(f"Next: syndb-pipeline login --destination {name}")


def _print_json(**content: object) -> None:
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False))


def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG", help="The dataset's YAML, to look at what it needs."),
    ] = None,
    destination: Annotated[
        str | None,
        typer.Option(
            "--destination",
            metavar="NAME",
            help="The one to look at; CONFIG's, or all, when left out.",
        ),
    ] = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Look whether everything is ready: machine, settings, network, clock, log-in, rights. Nothing
    is changed.
    """
    from syndb_pipeline.cli.doctor import examine, exit_code

    checks: list[Check] = []
    for check in examine(config, settings, destination):
        if (
            check.name == "settings" and check.state == "warning"
        ):  # said on standard error too, as by every command
            terminal.note(f"Settings: {check.found}")
        if not as_json:
            if check.destination is not None and (
                not checks or checks[-1].destination != check.destination
            ):
                typer.echo(f"\n{check.destination}")
            _print_check(check)
        checks.append(check)
    code = exit_code(checks)
    if as_json:
        shown = [check.model_dump(mode="json", exclude={"exit"}) for check in checks]
        _print_json(checks=shown, exit=int(code))
    else:
        states = [check.state for check in checks]
        counted = [
            f"{states.count(state)} {state}" for state in ("failed", "warning") if state in states
        ]
        typer.echo(
            f"\n{' and '.join(counted).capitalize()}, of {len(checks)} checks."
            if counted
            else "\nEverything is fine."
        )
    if code:
        raise typer.Exit(code)


def sandbox(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Where its data are; `sandbox` in the state folder when left out.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.")] = 8585,
    host: Annotated[str, typer.Option(help="Address of this machine to serve on.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let --host be one that others can reach.")
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="TEXT",
            help="What goes wrong and when, e.g. 503@upload:2; may be repeated.",
        ),
    ] = None,
    faults_help: Annotated[
        bool, typer.Option("--faults", help="Print which faults there are, and end.")
    ] = False,
    accounts: Annotated[
        Path | None,
        typer.Option("--accounts", metavar="FILE", help="YAML of accounts, for the demo ones."),
    ] = None,
    token_seconds: Annotated[
        float, typer.Option("--token-seconds", metavar="N", min=1, help="How long a token is good.")
    ] = 3600,
    settings: Settings = None,
) -> None:
    """Serve a SynDB on this machine, to rehearse with: same interface, faults on demand."""
    if faults_help:
        from syndb_pipeline.sandbox.fault_script import FAULTS_HELP

        typer.echo(FAULTS_HELP)
        return
    try:
        from syndb_pipeline.sandbox.serve import serve
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"The sandbox needs a package that is not installed: {missing.name}.",
            next_step='pip install "syndb-pipeline[sandbox]"',
        ) from None
    serve(
        folder or terminal.open_settings(settings).state / "sandbox",
        host=host,
        port=port,
        allow_remote=allow_remote,
        faults=fault or (),
        accounts=accounts,
        token_seconds=token_seconds,
        log=typer.echo,
    )


# Which server


def _server(settings: Path | None, named: str | None, command: str) -> RestDestination:
    """The server of pipeline.yaml that is meant, asked without long patience. Raises
    `ConfigError`."""
    from syndb_pipeline.cli.doctor import impatient
    from syndb_pipeline.destinations import open_destination
    from syndb_pipeline.destinations.rest.destination import RestDestination

    loaded = impatient(terminal.open_settings(settings))
    name = _only_server(loaded, named, command)
    server = open_destination(loaded, name, terminal.say)
    if not isinstance(server, RestDestination):
        raise ConfigError(
            f"{name} is a SynDB in a folder of this machine; there is no server to log in to."
        )
    return server


def _servers(settings: PipelineSettings) -> list[str]:
    return [name for name, own in settings.destinations.items() if own.kind == "rest"]


def _only_server(settings: PipelineSettings, named: str | None, command: str) -> str:
    """The name of the server that is meant; `named`, or the only one. Raises `ConfigError`, and
    says how to add one where there is none."""
    from syndb_pipeline.destinations import require_named

    servers = _servers(settings)
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


# Secrets


def _name_and_password(
    server: RestDestination, username: str | None, from_stdin: bool
) -> tuple[str, SecretStr]:
    """What to log in with at `server`: given, from the environment, or asked for."""
    from syndb_pipeline.destinations.rest import credentials

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
    from pydantic import SecretStr

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
    from syndb_pipeline.destinations.rest.credentials import variables_of

    if sys.stdin.isatty():
        return
    token, username, password = variables_of(name)
    raise ConfigError(
        "There is no terminal to ask at, and there are no credentials in the environment.",
        next_step=f"Set {username} and {password}, or {token}.\n"
        "Or pipe the password: syndb-pipeline login --username NAME --password-stdin < FILE",
    )


def _use_token(server: RestDestination, token: SecretStr) -> Identity:
    """Ask with this token from now on; whose it is. Raises `NotLoggedIn` when the server does not
    know it."""
    from syndb_pipeline.destinations.rest.credentials import checked_token

    who = _identity(server, checked_token(token))
    if who is None:
        raise NotLoggedIn(
            f"{server.name} ({server.target}) does not know this token; nothing was kept.",
            next_step="Copy it again, whole; or log in with name and password: "
            "syndb-pipeline login",
        )
    return who


def _still_known(server: RestDestination) -> Identity | None:
    """Who we are by the token that is kept; None when there is none, or the server does not know it
    any more."""
    from syndb_pipeline.destinations.rest import credentials

    kept = credentials.kept(server.origin, log=terminal.say)
    return _identity(server, kept.token) if kept and kept.token else None


def _identity(server: RestDestination, token: SecretStr) -> Identity | None:
    server.use(token)
    try:
        return server.who_am_i()
    except NotLoggedIn:
        return None


def _warn_of_environment(server: RestDestination) -> None:
    from syndb_pipeline.cli.doctor import variables_of
    from syndb_pipeline.destinations.rest import credentials

    present = credentials.in_environment(server.name, server.config)
    if present is not None:
        variables = variables_of(server.name, present)
        verb, them = ("is", "it") if len(variables) == 1 else ("are", "them")
        said = f"{' and '.join(variables)} {verb} set; every command takes {them} before anything"
        terminal.note(_wrapped("Note: ", f"{said} that is kept."))


# Words on a terminal


def _print_check(check: Check) -> None:
    color = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "failed": typer.colors.RED}[
        check.state
    ]
    text = _wrapped(f"{check.state:<8} {check.name:<13} ", check.found)
    typer.echo(typer.style(check.state, fg=color) + text[len(check.state) :])
    indent = " " * 9
    for line in check.next_step.splitlines():
        said, follows, command = line.partition(": syndb-pipeline ")
        if follows and len(indent + line) > WIDTH:  # a command stays in one line, to be copied
            typer.echo(_wrapped(indent, said + ":") + f"\n{indent}syndb-pipeline {command}")
        else:
            typer.echo(_wrapped(indent, line))


def _wrapped(head: str, text: str) -> str:
    """`text` after `head`, in lines of 80 columns below each other; what has no space stays whole,
    so that it can be copied.
    """
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
