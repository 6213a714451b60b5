"""What the sandbox keeps beside the node: the secret it signs with, and small JSON files.

Belongs here: signing, reading and writing them. Does not: what the files hold (`users.py`,
`catalogue.py`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Generic, TypeVar

from itsdangerous import SignatureExpired, URLSafeSerializer
from pydantic import BaseModel, ValidationError

from syndb_pipeline.base.errors import ConfigError
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

        Raises `itsdangerous.SignatureExpired` after its end; `itsdangerous.BadData` when nobody
        signed it here for `purpose`.
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
