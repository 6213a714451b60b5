"""The commands about a server and who we are there: log in, log out, look whether all is ready,
rehearse on this machine.

Belongs here: their options, and showing what was found. Does not: logging in (`accounts.py`),
checks (`doctor.py`).
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.cli import terminal
from syndb_pipeline.cli.terminal import AsJson, Settings

if TYPE_CHECKING:
    from syndb_pipeline.cli.doctor import Check

WIDTH: Final = 80

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
    service: Annotated[
        bool,
        typer.Option(
            "--service",
            help="Make it a service account first, with SYNDB_SERVICE_SECRET__NAME.",
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
    ] = 600,
    settings: Settings = None,
) -> None:
    """Log in to a server, and follow the link of academic verification where that is due.

    Name and password are asked for, the password without echo; or they are
    taken from the environment variables SYNDB_USERNAME__NAME and
    SYNDB_PASSWORD__NAME, or a token from SYNDB_TOKEN__NAME, where NAME is the
    destination's in capitals. The token is kept in the keyring, or in a file
    that only you can read. No option takes a secret: others can see options.
    """
    from syndb_pipeline.cli import accounts

    server = accounts.open_server(settings, destination, "login")
    who = accounts.log_in(
        server,
        username,
        token=token,
        from_stdin=password_stdin,
        remember=remember_password,
        service=service,
    )
    if who.verified:
        typer.echo("Your academic status is verified.")
    else:
        accounts.see_to_verification(server, browse=not no_browser, seconds=wait)


def logout(destination: Server = None, settings: Settings = None) -> None:
    """Make the kept token worthless at the server, and forget it here."""
    from syndb_pipeline.cli import accounts

    accounts.log_out(accounts.open_server(settings, destination, "logout"))


def whoami(destination: Server = None, settings: Settings = None, as_json: AsJson = False) -> None:
    """Who a destination takes you for, and by which credentials."""
    from syndb_pipeline.cli import accounts

    who, credentials = accounts.who_at(settings, destination)
    if as_json:
        _print_json(**who)
        return
    verified, name = who["verified"], who["destination"]
    typer.echo(who["name"])
    for label, value in {
        "destination": f"{name}, {who['address']}",
        "verified": "yes" if verified else "no; the last line leads to the link of verification",
        "credentials": credentials,
        "datasets": f"{who['modifiable']:,} you may upload to",
    }.items():
        typer.echo(_wrapped(f"  {label:<13} ", value))
    if not verified:
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
        if check.name == "settings" and check.state == "warning":
            terminal.note(f"Settings: {check.found}")  # said by every command
        if not as_json:
            if check.destination and (not checks or checks[-1].destination != check.destination):
                typer.echo(f"\n{check.destination}")
            _print_check(check)
        checks.append(check)
    code = exit_code(checks)
    if as_json:
        shown = [check.model_dump(mode="json", exclude={"exit"}) for check in checks]
        _print_json(checks=shown, exit=int(code))
    else:
        states = [check.state for check in checks]
        wrong = [f"{states.count(each)} {each}" for each in ("failed", "warning") if each in states]
        found = f"{' and '.join(wrong).capitalize()}, of {len(checks)} checks."
        typer.echo(f"\n{found if wrong else 'Everything is fine.'}")
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
    v1: Annotated[
        bool, typer.Option("--v1", help="Speak /v1 (generation 2), for `kind: syndb_v1`.")
    ] = False,
    v1_upload: Annotated[
        bool, typer.Option("--v1-upload", help="The same, with a route of our own for tables.")
    ] = False,
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
        v1=v1,
        v1_upload=v1_upload,
        log=typer.echo,
    )


# Words on a terminal


def _print_check(check: Check) -> None:
    color = {"ok": "green", "warning": "yellow", "failed": "red"}[check.state]
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
