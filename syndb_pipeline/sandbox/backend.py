"""What all routes of the sandbox share: accounts and tokens, tags and collections, the node,
limits, and who is asking.

Belongs here: what a sandbox keeps, and the checks and refusals that many routes make. Does not: any
route.

Passwords are kept as scrypt hashes in `users.json`, mode 0600.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID, uuid4

import anyio
from fastapi import Depends, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import OAuth2PasswordBearer
from itsdangerous import BadData, SignatureExpired, URLSafeSerializer
from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError

from syndb_pipeline.base.errors import ConfigError, UnknownDataset
from syndb_pipeline.config.yaml_file import Strict, Text
from syndb_pipeline.destinations.base import DatasetInfo, Metadata
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.state.store import write_atomically

LOGIN: Final = "/user/auth/native/login"
NODE: Final = "node"
"""The folder of the embedded node in a sandbox's folder."""

TOKEN_SECONDS: Final = 3600.0
KEPT_BENCHMARKS: Final = 1_000

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Limits:
    """How much the sandbox takes in, so that one request cannot fill memory or disk."""

    upload_bytes: int = 20_000_000_000
    object_bytes: int = 5_000_000_000  # what S3 takes in one POST
    table_rows: int = 1_000_000_000
    table_bytes: int = 100_000_000_000  # of a table's columns, unpacked
    form_seconds: float = 7_200
    url_seconds: float = 3_600
    memory_limit: int = 1_000_000_000
    threads: int = 2


class Signer:
    """Words that only the sandbox of this folder can have written: tokens, links, forms.

    The secret is made at the first start, mode 0600, so what was signed outlives the server.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "secret"
        text = path.read_text(encoding="ascii").strip() if path.exists() else ""
        if len(text) < 64:
            text = secrets.token_hex(32)
            write_atomically(path, text + "\n", mode=0o600)
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
    """One model in a file. `content` may be read at any time; changes go through `changing`.

    Args:
        path: The file; one that is not there holds nothing yet.
        model: What it holds.
        remade: What becomes of its content when a person removes it, for the message.
        mode: The file's.
    """

    def __init__(self, path: Path, model: type[Model], remade: str, mode: int = 0o644) -> None:
        self._path, self._mode = path, mode
        self.lock = RLock()
        """Who checks and then changes holds it in between."""
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
            text = self.content.model_dump_json(indent=1) + "\n"
            write_atomically(self._path, text, mode=self._mode)


# Accounts


class Account(Strict):
    """An account of a file of accounts, which has `users:` with a list of them."""

    email: Annotated[Text, Field(max_length=320)]
    password: SecretStr | None = None
    """Made up, and printed at each start, when left out."""
    verified: bool = False
    """Whether the academic status is verified; without it nothing can be written."""
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


class UserRead(BaseModel):
    """What anyone may see of a user; `id` owns datasets."""

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


class _Users(BaseModel):
    format: int = 1
    users: list[User] = []
    revoked: dict[str, float] = {}  # id of a token -> when it expires by itself


class Users(JsonFile[_Users]):
    """Accounts and tokens of one sandbox. Safe to use from several threads of one process."""

    def __init__(self, folder: Path, token_seconds: float = TOKEN_SECONDS) -> None:
        super().__init__(folder / "users.json", _Users, "the accounts are made again", 0o600)
        self.signer = Signer(folder)
        self.token_seconds = token_seconds
        self._no_password = _hashed("of an unknown user")

    def add(self, accounts: Accounts, password: str | None = None) -> dict[str, str]:
        """Make these accounts, or bring existing ones up to date. Returns each one's password.

        An account without a password gets `password`, else one that is the same at every start in
        the same folder. One that was verified since stays so.
        """
        given: dict[str, str] = {}
        with self.changing() as kept:
            for account in accounts.users:
                own = account.password.get_secret_value() if account.password else password
                plain = given[account.email] = own or self.signer.password(account.email)
                user = self.by(address=account.email.casefold())
                if user is None:
                    kept.users.append(user := User(email=account.email, password=_hashed(plain)))
                elif not _matches(plain, user.password):
                    user.password = _hashed(plain)
                user.email, user.is_superuser = account.email, account.superuser
                user.is_verified |= account.verified
                user.groups = frozenset(account.groups)
        return given

    def register(self, email: str, password: SecretStr) -> User | None:
        """A new account, not verified and in no group; None when the address is taken."""
        with self.changing() as kept:
            if self.by(address=email.casefold()) is not None:
                return None
            user = User(email=email, password=_hashed(password.get_secret_value()))
            kept.users.append(user)
            return user

    def log_in(self, email: str, password: str) -> str | None:
        """A new token, or None when address or password are wrong. Both take the same time."""
        user = self.by(address=email.casefold())
        if not _matches(password, user.password if user else self._no_password) or user is None:
            return None
        return self.token(str(user.id))

    def token(self, user: str) -> str:
        """A new token for the user of this id."""
        return self.signer.sign("token", self.token_seconds, user, secrets.token_hex(8))

    def holder(self, token: str) -> User | None:
        """Who holds the token; None when it was not given out here, has expired or was revoked."""
        try:
            _, user, name = self.signer.read("token", token)
        except BadData:
            return None
        return None if name in self.content.revoked else self.by(id=UUID(user))

    def revoke(self, token: str) -> None:
        """End a token that is good now."""
        expires, _, name = self.signer.read("token", token)
        with self.changing() as kept:
            good = {old: end for old, end in kept.revoked.items() if end > time.time()}
            kept.revoked = good | {name: expires}

    def by(self, **wanted: Any) -> User | None:
        """The user with these attributes."""
        for user in self.content.users:
            if all(getattr(user, name) == value for name, value in wanted.items()):
                return user
        return None

    @property
    def groups(self) -> frozenset[str]:
        """Every group that has a member."""
        return frozenset().union(*(user.groups for user in self.content.users))


def _hashed(password: str) -> str:
    salt = os.urandom(16)
    return "$".join(base64.b64encode(part).decode() for part in (salt, _scrypt(password, salt)))


def _matches(password: str, hashed: str) -> bool:
    salt, expected = map(base64.b64decode, hashed.split("$"))
    return hmac.compare_digest(_scrypt(password, salt), expected)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, maxmem=64 * 1024 * 1024)


# Tags, collections, benchmark results

Words = tuple[str, ...]
"""What names a tag: its fields in words, such as `("hippocampus", "null")` of a brain region."""


class Tag(BaseModel):
    kind: str
    words: Words
    id: UUID = Field(default_factory=uuid4)


class Collection(BaseModel):
    """A named group of datasets; its owner and the members of its groups may add to it."""

    name: str
    notes: str = ""
    owner: UUID
    groups: tuple[str, ...] = ()
    datasets: tuple[UUID, ...] = ()


class _Catalogue(BaseModel):
    format: int = 1
    tags: list[Tag] = []
    collections: list[Collection] = []
    uploads: list[dict[str, Any]] = []
    downloads: list[dict[str, Any]] = []
    families: dict[str, int] = {}
    """Family of refresh tokens -> which of them is good; one that is ended is not in it."""
    policies: dict[UUID, str] = {}
    """Dataset -> who may read it, as generation 2 was given it; kept, and not enforced."""


class Catalogue(JsonFile[_Catalogue]):
    """Tags, collections and benchmark results of one sandbox."""

    def __init__(self, folder: Path) -> None:
        path = folder / "catalogue.json"
        super().__init__(path, _Catalogue, "tags are made again by publishing")

    def tags(self, kind: str) -> dict[Words, UUID]:
        """The tags of a kind, in order, with their ids."""
        with self.lock:
            own = [tag for tag in self.content.tags if tag.kind == kind]
        return {tag.words: tag.id for tag in sorted(own, key=lambda tag: tag.words)}

    def missing(self, metadata: Metadata) -> list[str]:
        """The tags a dataset refers to that do not exist."""
        wanted: list[tuple[str, Words]] = [("animal", (str(metadata.animal),))]
        wanted += (
            ("brain_region", (each.brain_structure, each.direction))
            for each in metadata.brain_regions
        )
        wanted.append(("microscopy", (metadata.microscopy,)))
        wanted += (("mutation", (each.gene, each.expression)) for each in metadata.mutations)
        wanted += (("publication", (doi,)) for doi in metadata.publication_dois)
        return [
            " ".join([kind.replace("_", " "), *(word for word in words if word != "null")])
            for kind, words in wanted
            if words not in self.tags(kind)
        ]

    def collection(self, name: str) -> Collection | None:
        return next((each for each in self.content.collections if each.name == name), None)

    def collections_of(self, info: DatasetInfo) -> list[str]:
        """Collections the dataset was registered into, and those it was added to since."""
        dataset, all_ = info.metadata.id, list(self.content.collections)
        later = (each.name for each in all_ if dataset in each.datasets)
        return list(dict.fromkeys((*info.metadata.dataset_collection_names, *later)))

    def collect(
        self, into: Collection, datasets: Iterable[UUID], groups: Iterable[str] = ()
    ) -> None:
        """Add datasets and groups to a collection, which may be a new one."""
        with self.changing() as kept:
            if self.collection(into.name) is None:
                kept.collections.append(into)
            into.datasets = tuple(dict.fromkeys((*into.datasets, *datasets)))
            into.groups = tuple(dict.fromkeys((*into.groups, *groups)))

    def forget(self, dataset: UUID) -> None:
        """Take a deleted dataset out of every collection."""
        with self.changing() as kept:
            for each in kept.collections:
                each.datasets = tuple(member for member in each.datasets if member != dataset)


# What routes ask for


@dataclass
class Backend:
    """One sandbox's parts. `address` is the server's own, as clients reach it; it goes into links,
    and never what a request calls us."""

    folder: Path
    address: str
    users: Users
    limits: Limits
    heavy: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(2))
    """Uploads and downloads at work on tables at a time; each may use the whole memory limit."""
    file_turn: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))
    """Meshes and skeletons kept at a time: the node takes one at a time, and its lock would let
    the others wait longer than need be."""
    hashing: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(4))
    """Passwords hashed at a time, which takes memory and time on purpose: a flood of log-ins must
    not take all of both."""

    def __post_init__(self) -> None:
        self.signer = self.users.signer
        self.catalogue = Catalogue(self.folder)
        self.incoming = self.folder / "incoming"

    def link(self, path: str, purpose: str, *content: object) -> str:
        """A link to one of our paths, good for a while; all it says is signed, and nothing kept."""
        word = self.signer.sign(purpose, self.limits.url_seconds, *content)
        return f"{self.address}{path}?signature={word}"

    def node(self, user: UUID | None = None) -> EmbeddedNode:
        """The node as `user` may use it; for reading, it does not matter who."""
        known = self.users.by(id=user)
        return EmbeddedNode(
            "the sandbox",
            self.folder / NODE,
            owner=str(user) if user is not None else "unknown",
            groups=known.groups if known is not None else frozenset(),
            repeats="counted",
            memory_limit=self.limits.memory_limit,
            threads=self.limits.threads,
            max_rows=self.limits.table_rows,
            max_bytes=self.limits.table_bytes,
        )

    def dataset(self, dataset: UUID) -> DatasetInfo:
        """The dataset. Raises `UnknownDataset`."""
        info = self.node().info(dataset)
        if info is None:
            raise UnknownDataset(f"There is no dataset {dataset}.")
        return info


async def _backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


Here = Annotated[Backend, Depends(_backend)]
Token = Annotated[str | None, Depends(OAuth2PasswordBearer(LOGIN[1:], auto_error=False))]


async def _current(token: Token, backend: Here) -> User:
    user = backend.users.holder(token) if token else None
    if user is None:
        raise HTTPException(401, "Unauthorized", {"www-authenticate": "Bearer"})
    return user


CurrentUser = Annotated[User, Depends(_current)]


async def _verified(user: CurrentUser) -> User:
    if not user.is_verified:
        raise HTTPException(
            403, "Academic verification is needed for this. Ask for it at /user/academic/authorize."
        )
    return user


VerifiedUser = Annotated[User, Depends(_verified)]


def may_write(info: DatasetInfo, user: User) -> bool:
    groups = set(info.metadata.authorized_group_names)
    return info.owner == str(user.id) or bool(user.groups & groups)


def invalid(message: str, *place: str | int) -> RequestValidationError:
    """422, as `HTTPValidationError` has it."""
    return RequestValidationError([{"loc": place, "msg": message, "type": "value_error"}])


def without_paths(message: str) -> str:
    """The message without folders of this machine; a file keeps its name."""
    return re.sub(r"(?:/[^\s/'\"]+)+/([^\s/'\"]+)", r"\1", message)
