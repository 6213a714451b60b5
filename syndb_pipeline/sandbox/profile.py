"""The routes about users: log-in and log-out, accounts, profiles, and academic verification.

Belongs here: those routes. Does not: keeping accounts and tokens (`users.py`).

Left out, and answered as unknown routes (404): log-in through GitHub, Google and ORCID,
verification by e-mail, and profile pictures; no step of a publication needs them. Academic
verification ends at a page of the sandbox's own in the place of a person's institution.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from syndb_pipeline.sandbox.backend import backend_of, current_user, in_thread, token_of
from syndb_pipeline.sandbox.schemas import Callback, Login, NewUser, ScientistTag
from syndb_pipeline.sandbox.users import User
from syndb_pipeline.sandbox.wire import (
    Refusal,
    answer,
    form_body,
    json_body,
    path_uuid,
    query,
    read_body,
)

INSTITUTION: Final = "/_sandbox/academic"
CALLBACK: Final = "/user/academic/callback"

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>SynDB sandbox</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 3em auto"><h1>Your institution, as the sandbox plays it</h1>
<p>{text}</p>{form}</body></html>"""
_PAGE_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
}


async def log_in(request: Request) -> Response:
    login = await form_body(request, Login)
    backend = backend_of(request)
    token = await anyio.to_thread.run_sync(
        backend.users.log_in, login.username, login.password, limiter=backend.hashing
    )
    if token is None:
        raise Refusal(400, "LOGIN_BAD_CREDENTIALS")
    return answer({"access_token": token, "token_type": "bearer"})


async def log_out(request: Request) -> Response:
    current_user(request)
    await in_thread(backend_of(request).users.revoke, token_of(request) or "")
    return answer(None)


async def register(request: Request) -> Response:
    new = await json_body(request, NewUser)
    backend = backend_of(request)
    user = await anyio.to_thread.run_sync(
        backend.users.register, new.email, new.password, limiter=backend.hashing
    )
    if user is None:
        raise Refusal(400, "REGISTER_USER_ALREADY_EXISTS")
    return answer(_read(user), 201)


async def profile_current(request: Request) -> Response:
    return answer(_profile(current_user(request)))


async def profile_by_id(request: Request) -> Response:
    return _profile_or_unknown(backend_of(request).users.by_id(path_uuid(request, "user_id")))


async def profile_by_tag(request: Request) -> Response:
    return _profile_or_unknown(
        backend_of(request).users.by_tag(request.path_params["scientist_tag"])
    )


async def set_scientist_tag(request: Request) -> Response:
    user = current_user(request)
    tag = query(request, ScientistTag).scientist_tag
    if not await in_thread(backend_of(request).users.set_tag, user.id, tag):
        raise Refusal(
            422,
            [
                {
                    "loc": ["query", "scientist_tag"],
                    "msg": "Another scientist has this tag",
                    "type": "value_error",
                }
            ],
        )
    return answer(None)


async def academic_authorize(request: Request) -> Response:
    user = current_user(request)
    backend = backend_of(request)
    state = backend.users.verification(user.id)
    return answer(
        {"authorization_url": f"{backend.address}{INSTITUTION}?{urlencode({'state': state})}"}
    )


async def institution(request: Request) -> Response:
    """The page a person opens to verify; its button answers as the institution would: with a code,
    to the callback.
    """
    users = backend_of(request).users
    if request.method == "POST":
        given = parse_qs((await read_body(request)).decode("ascii", "replace")).get("state", [""])[
            -1
        ]
    else:
        given = request.query_params.get("state", "")
    user = users.in_verification(given)
    if user is None:
        page = _PAGE.format(
            text=(
                "This link is no good, or no longer. Ask for a new one with <code>syndb-pipeline"
                " login</code>."
            ),
            form="",
        )
        return HTMLResponse(page, 400, _PAGE_HEADERS)
    if request.method == "POST":
        return RedirectResponse(
            f"{CALLBACK}?{urlencode({'state': given, 'code': users.approval(given)})}", 303
        )
    form = (
        f'<form method="post" action="{INSTITUTION}"><input type="hidden" name="state"'
        f' value="{escape(given)}">'
    )
    form += "<button>Verify me</button></form>"
    return HTMLResponse(
        _PAGE.format(
            text=f"Is <b>{escape(user.email)}</b> a member of a research institution?", form=form
        ),
        headers=_PAGE_HEADERS,
    )


async def academic_callback(request: Request) -> Response:
    said = query(request, Callback)
    users = backend_of(request).users
    user = users.in_verification(said.state or "")
    if said.error is not None or user is None:
        raise Refusal(400, "The verification was broken off, or its link is no longer good.")
    if not users.approved(said.state or "", said.code or ""):
        raise Refusal(403, "The institution did not confirm this.")
    await in_thread(users.verify, user.id)
    return answer({"message": "Your academic status is verified. You may close this window."})


def _read(user: User) -> dict[str, Any]:
    return {
        "id": str(user.id),
        "email": user.email,
        "is_active": True,
        "is_superuser": user.superuser,
        "is_verified": user.verified,
    }


def _profile(user: User) -> dict[str, Any]:
    return _read(user) | {"scientist_tag": user.scientist_tag, "has_profile_picture": False}


def _profile_or_unknown(user: User | None) -> Response:
    if user is None:
        raise Refusal(404, "There is no such user.")
    return answer(_profile(user))


def routes() -> list[BaseRoute]:
    return [
        Route("/user/auth/native/login", log_in, methods=["POST"]),
        Route("/user/auth/native/logout", log_out, methods=["POST"]),
        Route("/user/auth/register", register, methods=["POST"]),
        Route("/user/profile/current", profile_current, methods=["GET"]),
        Route("/user/profile/current/set_scientist_tag", set_scientist_tag, methods=["POST"]),
        Route("/user/profile/id/{user_id}", profile_by_id, methods=["GET"]),
        Route("/user/profile/scientist_tag/{scientist_tag}", profile_by_tag, methods=["GET"]),
        Route("/user/academic/authorize", academic_authorize, methods=["GET"]),
        Route(CALLBACK, academic_callback, methods=["GET"]),
        Route(INSTITUTION, institution, methods=["GET", "POST"]),
    ]
