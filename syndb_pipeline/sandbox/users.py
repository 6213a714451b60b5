"""Who may log in to the sandbox: accounts, their groups and rights, and the tokens they hold.

Belongs here: keeping accounts and tokens, signing what only this sandbox can have written, and the
JSON files that keep both. Does not: the routes (`profile.py`), or who owns which dataset.

Passwords are kept as scrypt hashes in `users.json`, mode 0600.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID, uuid4

from itsdangerous import BadData, SignatureExpired, URLSafeSerializer
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.yaml_file import Strict, Text, read_yaml, validated
from syndb_pipeline.state.store import write_atomically

Model = TypeVar("Model", bound=BaseModel)


class Signer:
    """Words that only the sandbox of this folder can have written: tokens, links, forms.

    The secret is made at the first start, mode 0600, so what was signed outlives the server.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "secret"
        if not path.exists():
            write_atomically(path, secrets.token_hex(32) + "\n", mode=0o600)
        text = path.read_text(encoding="ascii").strip()
        if len(text) < 64:
            raise ConfigError(
                f"{path}: no secret of a sandbox.",
                next_step="Remove it; a new one is made, and old tokens end.",
            )
        self._secret = bytes.fromhex(text)

    def sign(self, purpose: str, seconds: float, *content: Any) -> str:
        """`content` (JSON) as a word that serves `purpose` alone, for `seconds` from now."""
        word = self._serializer(purpose).dumps([time.time() + seconds, *content])
        return word if isinstance(word, str) else word.decode("ascii")

    def read(self, purpose: str, word: str) -> list[Any]:
        """When the word ends, and what was signed.

        Raises `itsdangerous.SignatureExpired` after its end; `itsdangerous.BadData` when it was
        not signed here for `purpose`.
        """
        content: list[Any] = self._serializer(purpose).loads(word)
        if content[0] <= time.time():
            raise SignatureExpired("expired")
        return content

    def password(self, email: str) -> str:
        """A password for an account that was given none: the same at every start in this folder."""
        digest = hmac.digest(self._secret, b"password of " + email.encode(), "sha256")
        return base64.b32encode(digest)[:16].decode().lower()

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._secret, salt=purpose, signer_kwargs={"digest_method": hashlib.sha256}
        )


class JsonFile(Generic[Model]):
    """One model in a file. `content` may be read at any time; changes go through `changing`."""

    def __init__(self, path: Path, model: type[Model], remade: str, *, mode: int = 0o644) -> None:
        self.path = path
        self.mode = mode
        self.lock = RLock()
        try:
            self.content = model.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.content = model()
        except ValidationError:
            raise ConfigError(
                f"{path}: not written by this program, or damaged.",
                next_step=f"Remove it; {remade}.",
            ) from None

    @contextmanager
    def changing(self) -> Iterator[Model]:
        """The content, to be changed by one at a time; on disk when the block ends."""
        with self.lock:
            yield self.content
            write_atomically(
                self.path, self.content.model_dump_json(indent=1) + "\n", mode=self.mode
            )


TOKEN_SECONDS: Final = 3600.0


class Account(Strict):
    """An account of a file of accounts, which has `users:` with a list of them."""

    email: Annotated[Text, Field(max_length=320)]
    password: SecretStr | None = Field(
        default=None, description="Made up, and printed at each start, when left out."
    )
    verified: bool = Field(
        default=False,
        description="Whether the academic status is verified; without it nothing can be written.",
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


def load_accounts(path: Path) -> Accounts:
    """The accounts of a YAML or JSON file. Raises `ConfigError`."""
    return validated(read_yaml(path), Accounts)


class UserRead(BaseModel):
    """What anyone may see of a user; `id` owns datasets."""

    model_config = ConfigDict(frozen=True)

    id: UUID = Field(default_factory=uuid4)
    email: str
    is_active: bool = True
    is_superuser: bool = False
    is_verified: bool = Field(
        default=False, validation_alias=AliasChoices("is_verified", "verified")
    )


class UserProfile(UserRead):
    scientist_tag: str | None = None
    has_profile_picture: bool = False


class User(UserProfile):
    """One who may log in, as kept."""

    password: str = Field(repr=False)  # "<salt>$<hash>", both in base64
    groups: frozenset[str] = frozenset()

    @property
    def address(self) -> str:
        """The e-mail address as it is compared: in any case of letters."""
        return self.email.casefold()


class _Kept(BaseModel):
    format: int = 1
    users: list[User] = []
    revoked: dict[str, float] = {}  # id of a token -> when it expires by itself


class Users:
    """Accounts and tokens of one sandbox. Safe to use from several threads of one process."""

    def __init__(
        self, folder: Path, signer: Signer, *, token_seconds: float = TOKEN_SECONDS
    ) -> None:
        self.signer = signer
        self.token_seconds = token_seconds
        self._file = JsonFile(
            folder / "users.json", _Kept, "the accounts are made again", mode=0o600
        )
        self._no_password = _hashed("of an unknown user")

    def add(self, accounts: Accounts, *, password: str | None = None) -> dict[str, str]:
        """Make these accounts, or bring existing ones up to date. Returns each one's password.

        An account without a password gets `password`, else one that is the same at every start in
        the same folder. One that was verified since stays so.
        """
        given: dict[str, str] = {}
        with self._file.changing():
            for account in accounts.users:
                plain = account.password.get_secret_value() if account.password else password
                plain = given[account.email] = plain or self.signer.password(account.email)
                old = self.by(address=account.email.casefold())
                same = old is not None and _matches(plain, old.password)
                changed: dict[str, Any] = {
                    "email": account.email,
                    "password": old.password if old and same else _hashed(plain),
                    "is_verified": account.verified or bool(old and old.is_verified),
                    "is_superuser": account.superuser,
                    "groups": frozenset(account.groups),
                }
                self._keep(old.model_copy(update=changed) if old else User(**changed))
        return given

    def register(self, email: str, password: SecretStr) -> User | None:
        """A new account, not verified and in no group; None when the address is taken."""
        with self._file.changing():
            if self.by(address=email.casefold()) is not None:
                return None
            return self._keep(User(email=email, password=_hashed(password.get_secret_value())))

    def log_in(self, email: str, password: str) -> str | None:
        """A new token, or None when address or password are wrong. Both take the same time."""
        user = self.by(address=email.casefold())
        if not _matches(password, user.password if user else self._no_password) or user is None:
            return None
        return self.signer.sign("token", self.token_seconds, str(user.id), secrets.token_hex(8))

    def holder(self, token: str) -> User | None:
        """Who holds the token; None when it was not given out here, has expired or was revoked."""
        try:
            _, user, name = self.signer.read("token", token)
        except BadData:
            return None
        return None if name in self._file.content.revoked else self.by(id=UUID(user))

    def revoke(self, token: str) -> None:
        """End a token that is good now."""
        expires, _, name = self.signer.read("token", token)
        now = time.time()
        with self._file.changing() as kept:
            held = {old: until for old, until in kept.revoked.items() if until > now}
            kept.revoked = held | {name: expires}

    def by(self, **wanted: Any) -> User | None:
        """The user with these attributes."""
        users = self._file.content.users
        return next(
            (each for each in users if all(getattr(each, k) == v for k, v in wanted.items())), None
        )

    def change(self, user: User, **changed: Any) -> None:
        """Change attributes of a user."""
        with self._file.changing():
            self._keep((self.by(id=user.id) or user).model_copy(update=changed))

    def set_tag(self, user: User, tag: str) -> bool:
        """Give the user a scientist tag; False when another has it."""
        with self._file.lock:
            holder = self.by(scientist_tag=tag)
            if holder is not None and holder.id != user.id:
                return False
            self.change(user, scientist_tag=tag)
            return True

    @property
    def groups(self) -> frozenset[str]:
        """Every group that has a member."""
        return frozenset().union(*(user.groups for user in self._file.content.users))

    def _keep(self, user: User) -> User:
        kept = self._file.content
        kept.users = [*(each for each in kept.users if each.id != user.id), user]
        return user


def account_lines(accounts: Sequence[Account], passwords: Mapping[str, str]) -> list[str]:
    """A line for each account, with its password."""
    width = max(len(account.email) for account in accounts)
    return [
        f"  {each.email:<{width}}  {passwords[each.email]}"
        f"  {'verified' if each.verified else 'not verified'}"
        f"{', superuser' if each.superuser else ''}"
        f"{', in ' + ', '.join(each.groups) if each.groups else ''}"
        for each in accounts
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
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, maxmem=64 * 1024 * 1024)
