"""Who may log in to the sandbox: accounts, their groups and rights, and the tokens they hold.

Belongs here: keeping accounts and tokens, and proving them. Does not: the routes (`profile.py`), or
whose dataset is whose.

Passwords lie as scrypt hashes in `users.json`, mode 0600, beside the secret that signs tokens, so
both outlive the server.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from itsdangerous import BadData, URLSafeSerializer
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.yaml_file import Strict, Text, describe_errors, read_yaml
from syndb_pipeline.state.store import write_atomically

TOKEN_SECONDS: Final = 3600.0
VERIFICATION_SECONDS: Final = 3600.0

_SCRYPT_COST: Final = 2**14


class Account(Strict):
    """An account of a file of accounts, which has `users:` with a list of them."""

    email: Annotated[Text, Field(max_length=320)]
    password: SecretStr | None = Field(
        default=None, description="Made up, and printed at each start, when left out."
    )
    verified: bool = Field(
        default=False,
        description=(
            "Whether the academic status is verified, without which nothing can be written."
        ),
    )
    superuser: bool = False
    groups: tuple[Text, ...] = ()


class Accounts(Strict):
    users: list[Account] = Field(min_length=1)


DEMO_ACCOUNTS: Final = Accounts(
    users=[
        Account(email="ada@lab.example", verified=True, groups=("lab",)),
        Account(email="bob@lab.example", verified=True, groups=("lab",)),
        Account(email="eve@other.example", verified=True),
        Account(email="tom@lab.example"),
    ]
)
"""Two of one group, a stranger, and one whose academic status is not verified."""


class User(BaseModel):
    """One who may log in; `id` owns datasets."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    email: str
    password: str = Field(repr=False)  # "<salt>$<hash>", both in base64
    verified: bool = False
    superuser: bool = False
    groups: frozenset[str] = frozenset()
    scientist_tag: str | None = None


class _Kept(BaseModel):
    format: int = 1
    users: list[User] = []
    revoked: dict[str, float] = {}  # id of a token -> when it expires by itself


def load_accounts(path: Path) -> Accounts:
    """The accounts of a YAML or JSON file. Raises `ConfigError`."""
    try:
        return Accounts.model_validate(read_yaml(path))
    except ValidationError as error:
        raise describe_errors(path, error, Accounts) from None


def folder_secret(folder: Path) -> bytes:
    """The secret that signs tokens, forms and links of the sandbox in `folder`; made at its first
    start, mode 0600.
    """
    path = folder / "secret"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, secrets.token_hex(32) + "\n", mode=0o600)
    text = path.read_text(encoding="ascii").strip()
    if len(text) < 64:
        raise ConfigError(
            f"{path}: no secret of a sandbox.",
            next_step="Remove it; a new one is made, and old tokens end.",
        )
    return bytes.fromhex(text)


class Users:
    """Accounts and tokens of one sandbox. Safe to use from several threads of one process."""

    def __init__(
        self, folder: Path, secret: bytes, *, token_seconds: float = TOKEN_SECONDS
    ) -> None:
        self.path = folder / "users.json"
        self.token_seconds = token_seconds
        self._secret = secret
        self._tokens = URLSafeSerializer(
            secret, salt="access token", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._states = URLSafeSerializer(
            secret, salt="academic verification", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._lock = Lock()
        self._kept = _Kept()
        if self.path.exists():
            try:
                self._kept = _Kept.model_validate_json(self.path.read_text(encoding="utf-8"))
            except ValidationError:
                raise ConfigError(
                    f"{self.path}: not written by this program, or damaged.",
                    next_step="Remove it; the accounts are made anew.",
                ) from None
        self._nobody = _hashed("nobody's password")

    def add(self, accounts: Accounts, *, password: str | None = None) -> dict[str, str]:
        """Make these accounts, or bring those there are up to date. Returns each one's password by
        e-mail address.

        An account without a password gets `password`, else one that is the same at every start in
        the same folder. One that was verified since stays so.
        """
        given: dict[str, str] = {}
        with self._lock:
            for account in accounts.users:
                text = (
                    account.password.get_secret_value()
                    if account.password
                    else password or self._made_up(account.email)
                )
                given[account.email] = text
                old = self._by_email(account.email)
                same = old is not None and _matches(text, old.password)
                new = User(
                    id=old.id if old else uuid4(),
                    email=account.email,
                    password=old.password if old and same else _hashed(text),
                    verified=account.verified or bool(old and old.verified),
                    superuser=account.superuser,
                    groups=frozenset(account.groups),
                    scientist_tag=old.scientist_tag if old else None,
                )
                self._replace(new)
            self._write()
        return given

    def register(self, email: str, password: SecretStr) -> User | None:
        """A new account, not verified and in no group; None when the address is taken."""
        with self._lock:
            if self._by_email(email) is not None:
                return None
            user = User(id=uuid4(), email=email, password=_hashed(password.get_secret_value()))
            self._replace(user)
            self._write()
            return user

    def log_in(self, email: str, password: SecretStr) -> str | None:
        """A new token, or None when address or password are wrong. Both take the same time."""
        user = self._by_email(email)
        right = _matches(password.get_secret_value(), user.password if user else self._nobody)
        if user is None or not right:
            return None
        token = self._tokens.dumps(
            [str(user.id), secrets.token_hex(8), time.time() + self.token_seconds]
        )
        return token if isinstance(token, str) else token.decode("ascii")

    def holder(self, token: str) -> User | None:
        """Whose token it is; None when it was not given out here, has expired or was revoked."""
        read = self._read_token(token)
        return None if read is None else self.by_id(read[0])

    def revoke(self, token: str) -> None:
        read = self._read_token(token)
        if read is None:
            return
        _, name, expires = read
        with self._lock:
            now = time.time()
            self._kept.revoked = {
                old: until for old, until in self._kept.revoked.items() if until > now
            } | {name: expires}
            self._write()

    def by_id(self, user: UUID) -> User | None:
        return next((each for each in self._kept.users if each.id == user), None)

    def by_tag(self, tag: str) -> User | None:
        return next((each for each in self._kept.users if each.scientist_tag == tag), None)

    def set_tag(self, user: UUID, tag: str) -> bool:
        """Give the user a scientist tag; False when another has it."""
        with self._lock:
            holder = self.by_tag(tag)
            if holder is not None and holder.id != user:
                return False
            self._update(user, scientist_tag=tag)
            return True

    @property
    def groups(self) -> frozenset[str]:
        """Every group that somebody is in."""
        return frozenset().union(*(user.groups for user in self._kept.users))

    def verification(self, user: UUID) -> str:
        """A signed word that lets its holder verify the academic status of `user`."""
        state = self._states.dumps([str(user), time.time() + VERIFICATION_SECONDS])
        return state if isinstance(state, str) else state.decode("ascii")

    def in_verification(self, state: str) -> User | None:
        """Whose verification the signed word is for; None when it is no good."""
        try:
            name, expires = self._states.loads(state)
        except (BadData, ValueError, TypeError):
            return None
        return self.by_id(UUID(name)) if expires > time.time() else None

    def approval(self, state: str) -> str:
        """The code with which an institution confirms what a verification's signed word asks."""
        return hmac.digest(self._secret, b"approval of " + state.encode(), "sha256").hex()

    def approved(self, state: str, code: str) -> bool:
        return hmac.compare_digest(self.approval(state).encode(), code.encode())

    def verify(self, user: UUID) -> None:
        with self._lock:
            self._update(user, verified=True)

    def _read_token(self, token: str) -> tuple[UUID, str, float] | None:
        try:
            user, name, expires = self._tokens.loads(token)
        except (BadData, ValueError, TypeError):
            return None
        return (
            (UUID(user), name, expires)
            if expires > time.time() and name not in self._kept.revoked
            else None
        )

    def _made_up(self, email: str) -> str:
        digest = hmac.digest(self._secret, b"password of " + email.encode(), "sha256")
        return base64.b32encode(digest)[:16].decode().lower()

    def _by_email(self, email: str) -> User | None:
        return next(
            (user for user in self._kept.users if user.email.casefold() == email.casefold()), None
        )

    def _update(self, user: UUID, **changed: Any) -> None:
        found = self.by_id(user)
        if found is not None:
            self._replace(found.model_copy(update=changed))
            self._write()

    def _replace(self, user: User) -> None:
        self._kept.users = [*(each for each in self._kept.users if each.id != user.id), user]

    def _write(self) -> None:
        write_atomically(self.path, self._kept.model_dump_json(indent=1) + "\n", mode=0o600)


def account_lines(accounts: Sequence[Account], passwords: Mapping[str, str]) -> list[str]:
    """A line for each account, with its password."""
    width = max(len(account.email) for account in accounts)
    return [
        f"  {account.email:<{width}}  {passwords[account.email]} "
        f" {'verified' if account.verified else 'not verified'}"
        f"{', superuser' if account.superuser else ''}{', in ' + ', '.join(account.groups) if account.groups else ''}"
        for account in accounts
    ]


def _hashed(password: str) -> str:
    salt = os.urandom(16)
    return f"{base64.b64encode(salt).decode()}${base64.b64encode(_scrypt(password, salt)).decode()}"


def _matches(password: str, hashed: str) -> bool:
    salt, _, expected = hashed.partition("$")
    return hmac.compare_digest(
        _scrypt(password, base64.b64decode(salt)), base64.b64decode(expected)
    )


def _scrypt(password: str, salt: bytes) -> bytes:
    # A lone surrogate cannot be encoded otherwise; it can arrive in a form.
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=_SCRYPT_COST,
        r=8,
        p=1,
        maxmem=64 * 1024 * 1024,
    )
