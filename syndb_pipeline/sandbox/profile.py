"""The routes about users: log-in and log-out, accounts, profiles, and academic verification.

Belongs here: those routes. Does not: keeping accounts and tokens (`backend.py`).

Unknown here (404): log-in through GitHub, Google and ORCID, verification by e-mail, profile
pictures; no step of a publication needs them. Academic verification ends at a page of the sandbox's
own in the place of a person's institution.
"""

from __future__ import annotations

from html import escape
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Form, HTTPException, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from itsdangerous import BadData
from pydantic import AfterValidator, BaseModel, Field, SecretStr

from syndb_pipeline.contract.metadata import printable
from syndb_pipeline.sandbox.backend import (
    LOGIN,
    Backend,
    CurrentUser,
    Here,
    Token,
    User,
    UserProfile,
    UserRead,
    invalid,
)

INSTITUTION: Final = "/_sandbox/academic"
CALLBACK: Final = "/user/academic/callback"
_SECONDS: Final = 3600.0

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>SynDB sandbox</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 3em auto">
<h1>Your institution, as the sandbox plays it</h1>
<p>{}</p></body></html>"""
_PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}

router = APIRouter()


class Login(BaseModel):
    username: Annotated[str, Field(max_length=320)]
    password: Annotated[str, Field(max_length=1_024)]
    grant_type: Annotated[str, Field(pattern="^password$")] | None = None


class NewUser(BaseModel):
    """`is_superuser` and `is_verified` are no fields: no user makes himself one."""

    email: Annotated[
        str,
        Field(max_length=320, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$"),
        AfterValidator(printable),
    ]
    password: Annotated[SecretStr, Field(min_length=3, max_length=1_024)]


@router.post(LOGIN)
async def log_in(login: Annotated[Login, Form()], backend: Here) -> dict[str, str]:
    token = await anyio.to_thread.run_sync(
        backend.users.log_in, login.username, login.password, limiter=backend.hashing
    )
    if token is None:
        raise HTTPException(400, "LOGIN_BAD_CREDENTIALS")
    return {"access_token": token, "token_type": "bearer"}


@router.post("/user/auth/native/logout")
def log_out(_: CurrentUser, token: Token, backend: Here) -> None:
    backend.users.revoke(token or "")


@router.post("/user/auth/register", status_code=201)
async def register(new: NewUser, backend: Here) -> UserRead:
    user = await anyio.to_thread.run_sync(
        backend.users.register, new.email, new.password, limiter=backend.hashing
    )
    if user is None:
        raise HTTPException(400, "REGISTER_USER_ALREADY_EXISTS")
    return user


@router.get("/user/profile/current")
async def profile(user: CurrentUser) -> UserProfile:
    return user


@router.get("/user/profile/id/{user_id}")
async def profile_by_id(user_id: UUID, backend: Here) -> UserProfile:
    return _known(backend.users.by(id=user_id))


@router.get("/user/profile/scientist_tag/{scientist_tag}")
async def profile_by_tag(scientist_tag: str, backend: Here) -> UserProfile:
    return _known(backend.users.by(scientist_tag=scientist_tag))


@router.post("/user/profile/current/set_scientist_tag")
def set_scientist_tag(
    scientist_tag: Annotated[
        str, Query(min_length=1, max_length=100, pattern=r"^[\w.-]+$")  # a limit of our own
    ],
    user: CurrentUser,
    backend: Here,
) -> None:
    with backend.users.changing():
        if backend.users.by(scientist_tag=scientist_tag) not in (None, user):
            raise invalid("Another scientist has this tag", "query", "scientist_tag")
        user.scientist_tag = scientist_tag


@router.get("/user/academic/authorize")
async def academic_authorize(user: CurrentUser, backend: Here) -> dict[str, str]:
    state = backend.signer.sign("verification", _SECONDS, str(user.id))
    return {"authorization_url": f"{backend.address}{INSTITUTION}?{urlencode({'state': state})}"}


@router.get(INSTITUTION, include_in_schema=False)
async def institution(backend: Here, state: str = "") -> Response:
    """The page that a person opens to verify; its button answers as the institution would."""
    user = _signed(backend, "verification", state)
    if user is None:
        return _bad_link()
    return HTMLResponse(
        _PAGE.format(
            f"Is <b>{escape(user.email)}</b> a member of a research institution?"
            f'<form method="post" action="{INSTITUTION}">'
            f'<input type="hidden" name="state" value="{escape(state)}">'
            "<button>Verify me</button></form>"
        ),
        headers=_PAGE_HEADERS,
    )


@router.post(INSTITUTION, include_in_schema=False)
async def confirm(backend: Here, state: Annotated[str, Form()] = "") -> Response:
    """What the page's button sends: back to the callback, with the institution's word."""
    user = _signed(backend, "verification", state)
    if user is None:
        return _bad_link()
    code = backend.signer.sign("approval", _SECONDS, str(user.id))
    return RedirectResponse(f"{CALLBACK}?{urlencode({'state': state, 'code': code})}", 303)


@router.get(CALLBACK)
def academic_callback(
    backend: Here, state: str = "", code: str = "", error: str | None = None
) -> dict[str, str]:
    user = _signed(backend, "verification", state)
    if error is not None or user is None:
        raise HTTPException(400, "The verification was broken off, or its link is no longer good.")
    if _signed(backend, "approval", code) != user:
        raise HTTPException(403, "The institution did not confirm this.")
    with backend.users.changing():
        user.is_verified = True
    return {"message": "Your academic status is verified. You may close this window."}


def _signed(backend: Backend, purpose: str, word: str) -> User | None:
    """The user a signed word is about; None when it is no good."""
    try:
        return backend.users.by(id=UUID(backend.signer.read(purpose, word)[1]))
    except BadData:
        return None


def _bad_link() -> Response:
    text = "This link is no longer good. Ask for a new one with <code>syndb-pipeline login</code>."
    return HTMLResponse(_PAGE.format(text), 400, _PAGE_HEADERS)


def _known(user: User | None) -> User:
    if user is None:
        raise HTTPException(404, "There is no such user.")
    return user
