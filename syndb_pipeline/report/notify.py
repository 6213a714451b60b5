"""Telling people what became of datasets: what the overview says now against what was said last.

Belongs here: which messages are due, their words, and sending them. Does not: judging a dataset
(`publishing/overview.py`), or who is notified (`config/operating_settings.py`).

    <state>/notices.json   by channel, the state of each dataset that was said last
"""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict, ValidationError

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.errors import ConfigError, DestinationRefused, PipelineError, Unreachable
from syndb_pipeline.base.escape_text import visible, visible_json
from syndb_pipeline.config.addresses import is_loopback
from syndb_pipeline.config.operating_settings import (
    Channel,
    EmailChannel,
    FileChannel,
    ServiceChannel,
    WebhookChannel,
    resolved,
)
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.publishing.overview import Line, overview
from syndb_pipeline.state.locks import hold
from syndb_pipeline.state.store import DatasetStore, append_line, write_atomically

_SECONDS: Final = 20.0
"""How long sending one message may take."""

_SHOWN: Final = 20
"""Datasets that a message for people describes; of more it says the number."""

_LONGEST: Final = 1000
"""Characters of what a message says of one dataset."""

_FIELDS: Final = {"name", "dataset", "destination", "state", "since", "last_success"}
"""Of a dataset's line, those that a message as data has."""

_FINE: Final = ("published", "unpublished", "never run")
"""States that end what was said before."""

_FOR_A_DECISION: Final = ("held", "rejected", "unpublished")
"""States that are said again when what a person is to decide has become another."""


class Said(BaseModel):
    """What a channel was sent: dataset -> state, how many messages, and why the last one did not
    arrive."""

    model_config = ConfigDict(frozen=True)

    states: dict[str, str] = {}
    messages: int = 0
    undelivered: str = ""


class _Kept(BaseModel):
    version: int = 1
    channels: dict[str, Said] = {}


class Notice(NamedTuple):
    """What is said of a dataset: its line, and the event that it is said for."""

    line: Line
    event: str


def name_of(channel: Channel) -> str:
    """A channel in words, without any secret."""
    match channel:
        case EmailChannel():
            return f"e-mail to {', '.join(channel.to)}"
        case FileChannel():
            return f"file {channel.path}"
        case WebhookChannel():
            return f"webhook {urlsplit(channel.url).hostname or channel.url}"
    return f"{channel.kind} {channel.url}"


def said(settings: PipelineSettings) -> list[tuple[Channel, Said]]:
    """Each channel with what it was sent; nothing where that cannot be read, so that all of it is
    said again."""
    try:
        kept = _Kept.model_validate_json((settings.state / "notices.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        kept = _Kept()
    return [(each, kept.channels.get(_key(each), Said())) for each in settings.notify]


def notify(
    settings: PipelineSettings,
    *,
    wait: float = 30.0,
    log: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Send each channel one message about the datasets that are otherwise than it was sent last.

    Args:
        settings: The channels, and where the state is.
        wait: Seconds to wait for another process that is sending.
        log: Called for each message that was sent.

    Returns:
        A sentence for each message that did not arrive. It is due again the next time.

    Raises:
        PipelineError: Another process is sending.
        OSError: What was said cannot be kept; nothing more is sent then.
    """
    if not settings.notify:
        return []

    def keep() -> None:
        text = _Kept(channels=kept).model_dump_json(indent=1)
        write_atomically(settings.state / "notices.json", text + "\n")

    problems = []
    with hold(
        settings.state / ".notices.lock",
        "Notifications are being sent.",
        locking=settings.lock,
        name="notices",
        wait=wait,
    ):
        lines, before = overview(settings), said(settings)
        kept = {_key(channel): own for channel, own in before}
        for channel, own in before:
            notices, states = _due(channel, lines, own.states)
            now = own.model_copy(update={"states": states, "undelivered": ""})
            if notices:
                keep()  # where the disk is full, it would be sent again and again
                try:
                    deliver(settings, channel, message(settings, notices, own.messages))
                except PipelineError as error:
                    problems.append(f"{name_of(channel)}: {error}")
                    now = own.model_copy(update={"undelivered": error.message})
                else:
                    now = now.model_copy(update={"messages": own.messages + 1})
                    log(f"Notified {name_of(channel)}: {_title(notices)}")
            if now != own:
                # After each message, so that a crash repeats one at most.
                kept[_key(channel)] = now
                keep()
    return problems


def test(settings: PipelineSettings, *, log: Callable[[str], None]) -> list[str]:
    """Send each channel a test message. Returns as `notify`."""
    problems, content = [], message(settings, []) | {"title": "A test message"}
    for channel in settings.notify:
        try:
            deliver(settings, channel, content)
        except PipelineError as error:
            problems.append(f"{name_of(channel)}: {error}")
        else:
            log(f"Sent a test message: {name_of(channel)}")
    return problems


def _key(channel: Channel) -> str:
    return digest_of(channel.model_dump(mode="json"))


def _due(
    channel: Channel, lines: list[Line], before: dict[str, str]
) -> tuple[list[Notice], dict[str, str]]:
    """What to say on a channel, and the states that were said then."""
    notices: list[Notice] = []
    states: dict[str, str] = {}
    for line in lines:
        if not any(fnmatchcase(line.name, pattern) for pattern in channel.datasets):
            continue
        last, state = before.get(line.name), line.state
        if line.running:  # it will say how it ended; only that it takes too long is said
            state = "late" if line.late else "never run"
        if state in channel.events:
            new = f"{state} {line.since}" if state in _FOR_A_DECISION else state
            notices += [Notice(line, state)] if new != last else []
            last = new
        elif last and state in _FINE and not line.running:
            notices += [Notice(line, "recovered")] if "recovered" in channel.events else []
            last = None
        states |= {line.name: last} if last else {}
    return notices, states


# Words


def message(settings: PipelineSettings, notices: list[Notice], number: int = 0) -> dict[str, Any]:
    """A message as data: the JSON that webhooks and files get. `number` counts a channel's
    messages; one that is sent again has the same `id`."""
    described = [_described(settings, notice) for notice in notices]
    text = "\n\n".join("\n".join(_lines(each)) for each in described[:_SHOWN])
    if len(described) > _SHOWN:
        text += f"\n\n... and {len(described) - _SHOWN} more: syndb-pipeline status"
    host, file = socket.gethostname(), settings.file or "the default settings"
    return {
        "version": 1,
        "id": str(uuid5(NAMESPACE_URL, digest_of([host, str(settings.state), number, described]))),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "title": _title(notices),
        "text": f"{text}\n\nFrom {host}, {file}".strip(),
        "datasets": described,
    }


def _title(notices: list[Notice]) -> str:
    if len(notices) == 1:
        return f"{notices[0].line.name}: {notices[0].event}"
    counts = Counter(notice.event for notice in notices)
    events = ", ".join(f"{count} {event}" for event, count in counts.items())
    return f"{len(notices)} datasets: {events}"


def _described(settings: PipelineSettings, notice: Notice) -> dict[str, Any]:
    line, event = notice
    report = line.dataset and DatasetStore(settings.state, line.dataset).report_path
    why = f"It is {line.state} now. {line.why}" if event == "recovered" else line.why
    return {
        **line.model_dump(mode="json", include=_FIELDS),
        "event": event,
        "why": visible(why.strip()[:_LONGEST]),
        "next_step": visible(line.next_step),
        "report": str(report) if report and report.is_file() else None,
    }


def _lines(described: dict[str, Any]) -> Iterator[str]:
    yield f"{described['event'].upper()}: {described['name']}"
    for label, key in (("", "why"), ("Next: ", "next_step"), ("Report: ", "report")):
        if described[key]:
            yield f"  {label}{described[key]}".replace("\n", "\n  ")


# Sending


def deliver(settings: PipelineSettings, channel: Channel, content: dict[str, Any]) -> None:
    """Send one message. Raises `PipelineError` when it did not arrive; no secret is in what that
    says."""
    match channel:
        case FileChannel():
            base = settings.file.parent if settings.file else settings.state
            path = base / channel.path.expanduser()
            try:
                append_line(path, visible_json(json.dumps(content, ensure_ascii=False)))
            except OSError as error:
                raise PipelineError(f"{path}: {error.strerror}.") from None
        case WebhookChannel():
            _post(channel, content)
        case _:
            _by_apprise(channel, content)


def _post(channel: WebhookChannel, content: dict[str, Any]) -> None:
    import httpcore
    import httpx

    from syndb_pipeline.destinations.http import answers, connections

    url = resolved(channel.url, name_of(channel))
    headers = {}
    if channel.token:
        headers["Authorization"] = f"Bearer {resolved(channel.token, name_of(channel))}"
    parts = urlsplit(url)
    if parts.scheme != "https" and not (
        parts.scheme == "http" and is_loopback(parts.hostname or "")
    ):
        raise ConfigError(f"{channel.url} is no address that starts with https://.")
    try:
        timeout = {"timeout": httpx.Timeout(_SECONDS / 2).as_dict()}
        request = httpx.Request("POST", url, json=content, headers=headers, extensions=timeout)
        pool = connections.open_pool(connections.certificates(), connections.proxy_of(url))
        with connections.within(time.monotonic() + _SECONDS), pool:
            answer = connections.send(pool, request)
            answer.close()
    except (httpcore.ProxyError, *connections.FAILURES) as error:
        raise Unreachable(f"It was not sent: {connections.reason_of(error)}.") from None
    except (httpcore.LocalProtocolError, httpx.InvalidURL, ValueError):
        # What they say may hold the secret.
        raise ConfigError("Its address or token holds characters that cannot be sent.") from None
    if not 200 <= answer.status < 300:  # a redirect too: it could lead anywhere
        raise DestinationRefused(f"It answered {answers.status_name(answer.status)}.")


def _by_apprise(channel: EmailChannel | ServiceChannel, content: dict[str, Any]) -> None:
    try:
        import apprise
    except ModuleNotFoundError:
        raise ConfigError(
            f"{channel.kind} needs apprise, which is not installed.",
            next_step='Install it: pip install "syndb-pipeline[operate]"',
        ) from None
    asset = apprise.AppriseAsset(
        app_id="syndb-pipeline", http_redirects=False, image_url_mask="", image_url_logo=""
    )
    secret = channel.password if isinstance(channel, EmailChannel) else channel.url
    secret = resolved(secret, name_of(channel)) if secret else ""
    plugin = apprise.Apprise.instantiate(_apprise_of(channel, secret), asset=asset)
    if plugin is None:
        raise ConfigError("Its address is none that apprise knows.")
    unencrypted = secret.partition(":")[0] == getattr(plugin, "protocol", None)
    if unencrypted and not is_loopback(getattr(plugin, "host", None) or "localhost"):
        raise ConfigError("Its address is not an encrypted one: end the word before :// in s.")
    service = apprise.Apprise(asset=asset)
    service.add(plugin)
    result = service.notify(
        title=content["title"],
        body=content["text"],
        body_format=apprise.NotifyFormat.TEXT,
        timeout=_SECONDS,
    )
    if not result:
        reasons = "; ".join(entry.message for entry in result.logs()) or "no reason given"
        raise Unreachable(f"It was not sent: {visible(reasons.replace(secret or ' ', ' '))}")


def _apprise_of(channel: EmailChannel | ServiceChannel, secret: str) -> str | dict[str, Any]:
    """What apprise makes its plugin from."""
    if isinstance(channel, ServiceChannel):
        return secret
    return {
        "schema": "mailto" if channel.security == "none" else "mailtos",
        "smtp_host": channel.server,
        "host": channel.server,
        "port": channel.port,
        "secure": channel.security != "none",
        "secure_mode": {"none": "insecure", "tls": "ssl"}.get(channel.security, "starttls"),
        "user": channel.user,
        "password": secret or None,
        "from_addr": channel.sender,
        "targets": [*channel.to],
        "format": "text",
    }
