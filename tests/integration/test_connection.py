"""Logging in and out, looking who one is and whether all is ready: the commands against the sandbox
over a socket.

Belongs here: what a person or a script meets. Does not: each check by itself, or where secrets are
kept (`tests/unit`). Commands run in this process, but where a terminal or a signal matters.
"""

from __future__ import annotations

import json
import os
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.command_line import Lab, Ran, Terminal
from tests.rest_lab import ADA, EVE, PASSWORD, TOM, RestLab, Sandbox

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2b01"
OTHERS = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2b02"
LINK = re.compile(r"^(http://127\.0\.0\.1:\d+/\S+)$", flags=re.MULTILINE)


class Person(RestLab):
    """A lab whose environment has no credentials: somebody has to log in."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            name: value
            for name, value in super().environment.items()
            if not re.match("SYNDB_(USERNAME|PASSWORD|TOKEN)__", name)
        }

    @property
    def kept(self) -> Path:
        return Path(self.environment["SYNDB_CREDENTIALS"])

    @property
    def token(self) -> str:
        [secrets] = json.loads(self.kept.read_text())["origins"].values()
        return str(secrets["token"])

    run = Lab.call

    def login(self, user: str = ADA, *arguments: str, password: str = PASSWORD) -> Ran:
        return self.run(
            "login", "--username", user, "--password-stdin", *arguments, stdin=password + "\n"
        )


def ended_elsewhere(sandbox: Sandbox, token: str) -> None:
    """End the token at the server, as another machine may."""
    answer = httpx.post(
        f"{sandbox.url}/user/auth/native/logout",
        headers={"authorization": f"Bearer {token}"},
        trust_env=False,
    )
    answer.raise_for_status()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def lab(tmp_path: Path, sandbox: Sandbox) -> Person:
    return Person(tmp_path / "lab", sandbox)


def known(sandbox: Sandbox, token: str) -> bool:
    """Whether the server knows the token."""
    answer = httpx.get(
        f"{sandbox.url}/user/profile/current",
        headers={"authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def everything_in(folder: Path) -> dict[Path, bytes]:
    """Every file below `folder` with its bytes."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def servers(lab: Lab, **addresses: str) -> None:
    """Give the lab these servers and a folder as its destinations."""
    named = {name: {"kind": "rest", "url": address} for name, address in addresses.items()}
    settings = {
        "state": "state",
        "destinations": {**named, "local": {"kind": "embedded", "owner": "ada"}},
    }
    (lab.folder / "pipeline.yaml").write_text(yaml.safe_dump(settings))


# -- logging in


def test_a_piped_password_logs_in_and_only_the_token_is_kept(lab: Person, sandbox: Sandbox) -> None:
    ran = lab.login()

    assert ran.code == 0, ran.err
    assert f"Logged in to sandbox ({sandbox.url}) as {ADA}." in ran.out
    assert f"The token is kept in {lab.kept} (mode 0600)." in ran.out
    assert "Your academic status is verified." in ran.out
    assert stat.S_IMODE(lab.kept.stat().st_mode) == 0o600
    assert known(sandbox, lab.token)
    assert PASSWORD not in lab.kept.read_text()
    assert ADA in lab.run("whoami").out


def test_name_and_password_are_asked_for_without_echo(lab: Person, sandbox: Sandbox) -> None:
    terminal = Terminal(lab, "login")
    terminal.read_until(lambda seen: seen.endswith("User name at sandbox: "))
    terminal.answer(ADA)
    terminal.read_until(lambda seen: seen.endswith(f"Password of {ADA}: "))
    terminal.answer(PASSWORD)

    assert terminal.end() == 0, terminal.seen
    assert PASSWORD not in terminal.seen
    assert lab.token not in terminal.seen
    assert known(sandbox, lab.token)


def test_a_pasted_token_is_proved_and_kept(lab: Person, sandbox: Sandbox) -> None:
    token = sandbox.token(EVE)
    terminal = Terminal(lab, "login", "--token")
    terminal.read_until(lambda seen: seen.endswith("Token: "))
    terminal.answer(f"  {token} ")

    assert terminal.end() == 0, terminal.seen
    assert f"as {EVE}." in terminal.seen
    assert token not in terminal.seen
    assert lab.token == token


@pytest.mark.parametrize("token", ["nonsense", "two words", "Bearer x", "grün"])
def test_a_token_that_is_none_is_not_kept(lab: Person, token: str) -> None:
    ran = lab.run("login", "--token", "--password-stdin", stdin=token + "\n")

    assert ran.code == (5 if token == "nonsense" else 2)
    assert token not in ran.out + ran.err
    assert not lab.kept.exists()


def test_a_wrong_password_ends_with_5_and_keeps_what_was_kept(lab: Person) -> None:
    assert lab.login().code == 0
    before = lab.kept.read_bytes()
    ran = lab.login(password="another canary")

    assert ran.code == 5
    assert "does not take this user name and password" in ran.err
    assert "another canary" not in ran.out + ran.err
    assert lab.kept.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (
            (),
            None,
            "Set SYNDB_USERNAME__SANDBOX and SYNDB_PASSWORD__SANDBOX, or SYNDB_TOKEN__SANDBOX",
        ),
        (("--username", ADA), None, "no terminal"),
        (("--token",), None, "no terminal"),
        (("--password-stdin",), PASSWORD, "Add --username NAME"),
        (("--username", ADA, "--password-stdin"), "\n", "no secret in the first line"),
        (("--username", ADA, "--token"), None, "--token goes with neither"),
        (("--destination", "sandbx"), None, "did you mean sandbox?"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else "",
)
def test_nothing_to_log_in_with_ends_with_2(
    lab: Person, arguments: tuple[str, ...], stdin: str | None, said: str
) -> None:
    ran = lab.run("login", *arguments, stdin=stdin)

    assert ran.code == 2
    assert said in ran.err
    assert not lab.kept.exists()


def test_control_c_at_the_password_ends_with_130(lab: Person) -> None:
    terminal = Terminal(lab, "login", "--username", ADA)
    terminal.read_until(lambda seen: seen.endswith(": "))
    os.killpg(terminal.process.pid, signal.SIGINT)

    assert terminal.end() == 130
    assert "Interrupted." in terminal.seen
    assert not lab.kept.exists()


def test_the_environment_logs_in_and_is_said_to_win(lab: Person, sandbox: Sandbox) -> None:
    pair = {"SYNDB_USERNAME__SANDBOX": EVE, "SYNDB_PASSWORD__SANDBOX": PASSWORD}
    by_password = lab.run("login", **pair)
    assert by_password.code == 0, by_password.err
    assert f"as {EVE}." in by_password.out
    assert "takes SYNDB_USERNAME__SANDBOX and SYNDB_PASSWORD__SANDBOX before" in by_password.err
    assert known(sandbox, lab.token)

    token = sandbox.token(ADA)
    by_token = lab.run("login", SYNDB_TOKEN__SANDBOX=token)
    assert by_token.code == 0, by_token.err
    assert f"as {ADA}." in by_token.out
    assert lab.token == token

    another = lab.login(ADA)
    assert another.code == 0
    assert ADA in lab.run("whoami").out
    assert EVE in lab.run("whoami", **pair).out, "the environment wins"


def test_a_remembered_password_renews_a_token_that_ended(lab: Person, sandbox: Sandbox) -> None:
    assert "The token and the password are kept" in lab.login(ADA, "--remember-password").out
    first = lab.token
    ended_elsewhere(sandbox, first)
    looked = lab.run("doctor")
    assert looked.code == 0
    assert "the kept token has ended" in " ".join(looked.out.split())
    assert lab.token == first, "the doctor changes nothing"
    assert lab.run("whoami").code == 0
    assert lab.token != first


def test_logging_in_again_asks_only_when_the_token_has_ended(lab: Person, sandbox: Sandbox) -> None:
    assert lab.login().code == 0
    before = lab.kept.read_bytes()
    again = lab.run("login")
    assert again.code == 0
    assert f"You are logged in to sandbox already, as {ADA}." in again.out
    assert lab.kept.read_bytes() == before

    assert f"as {EVE}." in lab.login(EVE).out
    ended_elsewhere(sandbox, lab.token)
    ended = lab.run("login")
    assert ended.code == 2
    assert "no terminal" in ended.err


def test_an_unreachable_server_is_named_within_seconds(lab: Person) -> None:
    servers(lab, away="http://127.0.0.1:9")
    ran = lab.login()

    assert ran.code == 5
    assert "cannot be reached" in ran.err
    assert not lab.kept.exists()


# -- which server


def test_several_servers_have_to_be_named(lab: Person, sandbox: Sandbox) -> None:
    servers(lab, one=sandbox.url, two="https://api.example.org")
    for command in ("login", "logout", "whoami"):
        ran = lab.run(command)
        assert ran.code == 2
        assert "several servers: one, two" in ran.err
        assert f"syndb-pipeline {command} --destination one" in ran.err


def test_without_a_server_the_lines_to_paste_are_shown(lab: Person) -> None:
    servers(lab)
    ran = lab.run("login")

    assert ran.code == 2
    assert str(lab.folder / "pipeline.yaml") in ran.err
    pasted = yaml.safe_load(ran.err[ran.err.index("destinations:\n") :].split("\n\n")[0])
    assert pasted["destinations"]["syndb"]["kind"] == "rest"
    assert lab.run("login", "--destination", "local").code == 2
    assert re.search(r"^ada\n  destination   local", lab.run("whoami").out)


# -- academic verification


def test_the_link_is_opened_and_the_wait_ends_with_the_verification(
    lab: Person, sandbox: Sandbox, tmp_path: Path
) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o700)
    sandbox.script()
    with httpx.Client(trust_env=False) as client:
        client.post(
            f"{sandbox.url}/user/auth/register",
            json={"email": "uma@lab.example", "password": PASSWORD},
        ).raise_for_status()

    terminal = Terminal(lab, "login", "--username", "uma@lab.example", BROWSER=str(browser))
    terminal.read_until(lambda seen: seen.endswith(": "))
    terminal.answer(PASSWORD)
    terminal.read_until(lambda seen: "Ctrl+C" in seen)
    assert [opened.read_text().strip()] == LINK.findall(terminal.seen)
    sandbox.verify("uma@lab.example")

    assert terminal.end() == 0, terminal.seen
    assert terminal.seen.rstrip().endswith("Your academic status is verified.")
    assert "verified      yes" in lab.run("whoami").out


def test_the_wait_ends_by_itself_with_5_and_stays_logged_in(lab: Person) -> None:
    ran = lab.login(TOM, "--wait", "1")

    assert ran.code == 5
    assert LINK.search(ran.out)
    assert "has not verified your academic status yet" in ran.err
    assert "syndb-pipeline login --destination sandbox" in ran.err
    assert "opens by itself" not in ran.err, "no person is at a terminal to see it"
    assert re.search("verified +no", lab.run("whoami").out)


def test_control_c_while_waiting_stays_logged_in(lab: Person) -> None:
    terminal = Terminal(lab, "login", "--username", TOM, "--no-browser", BROWSER="false")
    terminal.read_until(lambda seen: seen.endswith(": "))
    terminal.answer(PASSWORD)
    terminal.read_until(lambda seen: "Ctrl+C" in seen)
    os.killpg(terminal.process.pid, signal.SIGINT)

    assert terminal.end() == 130
    assert "You stay logged in" in terminal.seen
    assert "opens by itself" not in terminal.seen

    later = lab.run("login", "--wait", "0")
    assert (later.code, f"logged in to sandbox already, as {TOM}" in later.out) == (5, True), (
        "no password is asked for again"
    )
    assert LINK.search(later.out)


# -- logging out


def test_logging_out_ends_the_token_everywhere(lab: Person, sandbox: Sandbox) -> None:
    assert lab.login().code == 0
    token = lab.token
    ran = lab.run("logout")

    assert (ran.code, ran.out) == (0, "Logged out of sandbox.\n")
    assert not known(sandbox, token)
    assert not lab.kept.exists()
    assert lab.run("whoami").code == 5

    again = lab.run("logout")
    assert again.code == 0
    assert again.out.startswith("Nothing was kept for sandbox")


def test_logging_out_with_a_token_that_ended_is_fine(lab: Person, sandbox: Sandbox) -> None:
    assert lab.login().code == 0
    ended_elsewhere(sandbox, lab.token)
    ran = lab.run("logout")

    assert (ran.code, ran.out) == (0, "Logged out of sandbox.\n")
    assert not lab.kept.exists()


def test_logging_out_leaves_the_environment_and_says_so(lab: Person, sandbox: Sandbox) -> None:
    assert lab.login().code == 0
    kept, other = lab.token, sandbox.token(EVE)
    ran = lab.run("logout", SYNDB_TOKEN__SANDBOX=other)

    assert ran.code == 0
    assert "every command takes SYNDB_TOKEN__SANDBOX before" in ran.err
    assert not known(sandbox, kept)
    assert known(sandbox, other), "what the environment has is not ours to end"


def test_logging_out_of_a_server_that_is_away_forgets_here(lab: Person) -> None:
    servers(lab, away=(address := "http://127.0.0.1:9"))
    lab.kept.parent.mkdir()
    lab.kept.touch(0o600)
    lab.kept.write_text(json.dumps({"version": 1, "origins": {address: {"token": "kept"}}}))
    ran = lab.run("logout")

    assert ran.code == 5
    assert "is forgotten, but not by" in ran.err
    assert not lab.kept.exists()


# -- who one is


def test_whoami_as_json(lab: Person, sandbox: Sandbox) -> None:
    assert lab.login(TOM, "--wait", "0").code == 5
    said = lab.run("whoami", "--json").report
    del said["id"]
    assert said == {
        "name": TOM,
        "verified": False,
        "destination": "sandbox",
        "address": sandbox.url,
        "credentials": "file",
        "modifiable": 0,
    }
    assert lab.run("whoami").out.endswith("Next: syndb-pipeline login --destination sandbox\n"), (
        "in one line, to be copied"
    )


def test_whoami_of_a_folder_needs_no_login(lab: Person, sandbox: Sandbox) -> None:
    servers(lab, sandbox=sandbox.url)
    ran = lab.run("whoami", "--destination", "local")

    assert ran.code == 0
    assert ran.out.startswith("ada\n")
    assert "none needed" in ran.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {},
            (
                "You are not logged in to sandbox.",
                "Log in with: syndb-pipeline login --destination sandbox",
            ),
        ),
        (
            {"SYNDB_TOKEN__SANDBOX": "ended"},
            ("does not know you any more", "Correct SYNDB_TOKEN__SANDBOX in the environment; "),
        ),
        (
            {"SYNDB_USERNAME__SANDBOX": ADA, "SYNDB_PASSWORD__SANDBOX": "wrong"},
            (
                "does not take this user name and password",
                "Correct SYNDB_USERNAME__SANDBOX and SYNDB_PASSWORD__SANDBOX in the environment; ",
            ),
        ),
    ],
    ids=["nothing", "token", "password"],
)
def test_who_is_not_known_is_shown_where_to_look(
    lab: Person, given: dict[str, str], said: tuple[str, str]
) -> None:
    ran = lab.run("datasets", "--destination", "sandbox", **given)

    assert ran.code == 5
    assert all(words in ran.err for words in said), ran.err


# -- doctor


def states(ran: Ran) -> dict[str, str]:
    """Check -> its state."""
    return {check["name"]: check["state"] for check in ran.report["checks"]}


def test_a_healthy_lab(lab: Person) -> None:
    config = lab.small("healthy", DATASET)
    assert lab.login().code == 0
    before = everything_in(lab.folder)
    ran = lab.run("doctor", config)

    assert ran.code == 0, ran.out
    assert ran.out.rstrip().endswith("Everything is fine.")
    assert "is not there yet; publishing registers it" in " ".join(ran.out.split())
    names = re.findall(r"^ok +(\w+)", ran.out, flags=re.MULTILINE)
    assert names == [
        *("versions", "dataset", "settings", "state", "disk", "memory"),
        *("destination", "reach", "clock", "interface", "credentials", "token", "verification"),
        "rights",
    ]
    assert all(len(line) <= 80 for line in ran.out.splitlines() if str(lab.folder) not in line)
    assert everything_in(lab.folder) == before, "nothing is changed"


def test_what_a_doctor_finds_wrong_ends_with_the_code_of_its_kind(
    lab: Person, sandbox: Sandbox
) -> None:
    token = {name: {"SYNDB_TOKEN__SANDBOX": sandbox.token(name)} for name in (ADA, TOM)}
    away, elsewhere = {"away": "http://127.0.0.1:9"}, {"sandbox": f"{sandbox.url}/docs"}
    for code, check, environment, addresses in (
        (5, "credentials", {}, {}),
        (5, "token", {"SYNDB_TOKEN__SANDBOX": "ended"}, {}),
        (2, "credentials", {"SYNDB_USERNAME__SANDBOX": ADA}, {}),
        (5, "verification", token[TOM], {}),
        (1, "memory", {"SYNDB_MEMORY_LIMIT": "900TB", **token[ADA]}, {}),
        (5, "reach", {}, away),
        (5, "address", {}, elsewhere),
    ):
        if addresses:
            servers(lab, **addresses)
        ran = lab.run("doctor", "--json", **environment)
        assert ran.code == ran.report["exit"] == code, check
        assert states(ran)[check] == "failed", check
        assert ("clock" in states(ran)) == (check != "reach"), "what failed leaves nothing to ask"

    (lab.folder / "pipeline.yaml").write_text("memory_limit: much\n")
    wrong = lab.run("doctor")
    assert wrong.code == 2
    assert "memory_limit" in wrong.out
    assert "1 failed" in wrong.out


def test_a_file_that_others_can_read_is_found(lab: Person) -> None:
    assert lab.login().code == 0
    lab.kept.chmod(0o644)
    ran = lab.run("doctor")

    assert ran.code == 2
    assert "open to other users" in " ".join(ran.out.split())
    assert "chmod 600" in ran.out


# -- the other commands at a server


def test_the_road_of_a_dataset_without_naming_the_server(lab: Person, sandbox: Sandbox) -> None:
    config = lab.small("road", DATASET, approval="manual")
    assert lab.login().code == 0
    planned = lab.run("plan", config, "--json").report
    assert sandbox.url in json.dumps(planned)
    ran = lab.run("publish", config, "--approve", planned["digest"])
    assert ran.code == 0, ran.out + ran.err
    assert "PUBLISHED road to sandbox" in ran.out
    assert "not this plan" not in lab.run("status", config).out
    listed = lab.run("datasets")
    assert (listed.code, DATASET in listed.out) == (0, True)
    assert lab.run("datasets", "--modifiable").out == listed.out
    looked = lab.run("doctor", config)
    assert "is there, and you may upload to it" in " ".join(looked.out.split())

    deleted = lab.run("delete", DATASET, "--label", "road")
    assert deleted.code == 0, deleted.err
    assert "from sandbox" in deleted.out
    assert DATASET not in lab.run("datasets").out


def test_a_server_that_is_away_hides_nothing_that_is_known_here(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        lab = Person(tmp_path / "lab", sandbox, attempts=1)
        config = lab.small("road", DATASET)
        assert lab.login().code == 0
        assert lab.run("publish", config).code == 0
    status = lab.run("status", config)
    listed = lab.run("datasets")

    assert status.code == 0
    assert re.search("published +20", status.out)
    assert re.search("destination +sandbox, not asked: .*cannot be reached", status.out)
    assert lab.run("plan", config).code == 0, "planning needs no server"
    assert listed.code == 5
    assert "syndb-pipeline doctor" in listed.err


def test_a_dataset_of_somebody_else_is_found_before_anything_is_sent(
    lab: Person, sandbox: Sandbox, tmp_path: Path
) -> None:
    owner = Person(tmp_path / "owner", sandbox)
    config = owner.small("mine", OTHERS, groups=["lab"])
    published = owner.run("publish", config, SYNDB_TOKEN__SANDBOX=sandbox.token(ADA))
    assert published.code == 0, published.err

    stranger = lab.small("theirs", OTHERS, groups=["lab", "leb"])
    assert lab.login(EVE).code == 0
    ran = lab.run("doctor", stranger, "--json")
    assert ran.code == 5
    assert states(ran)["rights"] == "failed"

    member = lab.run(
        "doctor", stranger, "--json", SYNDB_TOKEN__SANDBOX=sandbox.token("bob@lab.example")
    )
    assert member.code == 0
    assert states(member)["rights"] == "ok"
    groups = {
        check["found"].split(":")[0]: check["state"]
        for check in member.report["checks"]
        if check["name"] == "groups"
    }
    assert groups == {"lab": "ok", "leb": "warning"}


# -- the sandbox as a command


def test_the_sandbox_serves_and_stops(lab: Person) -> None:
    process = lab.start("sandbox", "--port", "0", "--fault", "500@info:*", "--token-seconds", "100")
    assert process.stdout is not None
    try:
        shown = [process.stdout.readline()]
        while "kind: rest" not in shown[-1]:
            assert shown[-1], process.communicate()
            shown.append(process.stdout.readline())
        address = re.findall(r"http://127\.0\.0\.1:\d+", shown[0])[0]
        assert str(lab.folder / "state" / "sandbox") in shown[0]
        assert any("500@info:*" in line for line in shown)
        assert httpx.get(f"{address}/user/profile/current", trust_env=False).status_code == 401
        # What is to be pasted: into a file without destinations as it is, into one that has them
        # the last line alone.
        assert yaml.safe_load("".join(shown[-2:]))["destinations"]["sandbox"]["url"] == address
        pasted = yaml.safe_load(
            "destinations:\n  local: {kind: embedded, path: node}\n" + shown[-1]
        )
        assert pasted["destinations"].keys() == {"local", "sandbox"}
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def test_the_sandbox_stays_on_this_machine_unless_asked_otherwise(lab: Person) -> None:
    for arguments, said in (
        (("--host", "0.0.0.0"), "--allow-remote"),
        (("--fault", "nonsense@upload"), "nonsense"),
        (("--port", "99999"), "65535"),
    ):
        ran = lab.run("sandbox", "--port", "0", *arguments, timeout=20)
        assert ran.code == 2
        assert said in ran.err
    assert "lose-row" in lab.run("sandbox", "--faults").out
