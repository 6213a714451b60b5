"""Addresses of servers that a person writes into a config.

Belongs here: what makes one safe to send something to. Does not: connecting, credentials.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def safe_address(value: str) -> str:
    """An address that secrets may be sent to: encrypted, or of this machine. Raises
    `ValueError`."""
    parts = urlsplit(value.strip())
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError(
            f"{value!r} is not the address of a server; write it like https://api.example.org"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address holds a host and a path only: no name, no password, no query")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"{value!r} is not encrypted, and a token would go over it; write https://, or use"
            " http:// with this machine only"
        )
    return value.strip().rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine alone, whoever resolves it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
