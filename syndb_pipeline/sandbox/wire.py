"""Requests read and answers written as a FastAPI server does, the kind that SynDB's published
contract comes from.

Belongs here: bodies, queries and errors in that form, and how much of a request is read. Does not:
what any route does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

JSON_BYTES: Final = 1_000_000
"""Bytes of a JSON or form body; a dataset's metadata are a few thousand."""

DRAINED_BYTES: Final = 20_000_000_000
"""How much of a refused upload is read to its end, and thrown away, before the answer."""

Model = TypeVar("Model", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """An answer that is no success: its status and what stands under `detail`."""

    def __init__(
        self, status: int, detail: Any, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    @property
    def response(self) -> Response:
        return JSONResponse({"detail": self.detail}, self.status, self.headers)


def invalid(*errors: tuple[tuple[str | int, ...], str, str]) -> Refusal:
    """422 with one entry for each (place, message, type), as `HTTPValidationError` has them."""
    return Refusal(
        422, [{"loc": list(place), "msg": message, "type": kind} for place, message, kind in errors]
    )


def answer(body: BaseModel | Mapping[str, Any] | None, status: int = 200) -> Response:
    return JSONResponse(
        body.model_dump(mode="json") if isinstance(body, BaseModel) else body, status
    )


def validated(model: type[Model], content: Mapping[str, Any] | bytes, place: str) -> Model:
    """`content` as `model`. Raises `Refusal` 422 that names each wrong field below `place`."""
    try:
        return (
            model.model_validate_json(content)
            if isinstance(content, bytes)
            else model.model_validate(content)
        )
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid(
            *(((place, *each["loc"]), each["msg"], each["type"]) for each in found[:100])
        ) from None


async def read_body(request: Request, limit: int = JSON_BYTES) -> bytes:
    """The whole body. Raises `Refusal` 413 beyond `limit` bytes, whatever its header announced."""
    announced = request.headers.get("content-length", "0")
    body = bytearray()
    if announced.isdigit() and int(announced) <= limit:
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise Refusal(413, f"The body is larger than {limit:,} bytes.", headers={"connection": "close"})


async def json_body(request: Request, model: type[Model]) -> Model:
    """The JSON body as `model`; `Refusal` 422 when it is of another type, no JSON, or not what
    `model` takes.
    """
    content = await read_body(request)
    kind = media_type(request)
    if not (
        kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    ):
        raise invalid(
            (
                ("body",),
                f"Input should be sent as application/json, not {kind or 'without a type'}",
                "model_attributes_type",
            )
        )
    return validated(model, content, "body")


async def form_body(request: Request, model: type[Model]) -> Model:
    """The URL-encoded form as `model`; `Refusal` 422 otherwise."""
    content = await read_body(request)
    if media_type(request) != "application/x-www-form-urlencoded":
        raise invalid((("body",), "Input should be a URL-encoded form", "missing"))
    try:
        pairs = parse_qsl(
            content.decode("ascii"), keep_blank_values=True, max_num_fields=100, errors="strict"
        )
    except ValueError:
        raise invalid(
            (("body",), "Input should be a URL-encoded form in UTF-8", "value_error")
        ) from None
    return validated(model, dict(pairs), "body")


def query(request: Request, model: type[Model]) -> Model:
    return validated(model, dict(request.query_params), "query")


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def path_uuid(request: Request, name: str = "dataset_id") -> UUID:
    """The path's part `name` as a UUID; `Refusal` 422 when it is none."""
    try:
        return UUID(request.path_params[name])
    except ValueError:
        raise invalid((("path", name), "Input should be a valid UUID", "uuid_parsing")) from None


async def drain(request: Request) -> None:
    """Read and forget what the client still sends: one that is writing would meet a closed
    connection and not the answer.

    Nothing is read from a client that waits for "100 Continue": it sends no body after an answer.
    """
    if "100-continue" in request.headers.get("expect", "").lower():
        return
    seen = 0
    try:
        async for piece in request.stream():
            seen += len(piece)
            if seen > DRAINED_BYTES:
                return
    except (ClientDisconnect, RuntimeError):  # gone, or the body was taken already
        return


async def on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    await drain(request)
    return error.response


async def on_http_error(request: Request, error: Exception) -> Response:
    """Unknown routes and methods, in the same form as every other refusal."""
    assert isinstance(error, HTTPException)
    await drain(request)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


async def on_disconnect(request: Request, error: Exception) -> Response:
    """The client went away before its request was whole: nobody is there to read an answer."""
    return Response(status_code=400)


async def on_mistake(request: Request, error: Exception) -> Response:
    """A mistake of ours: nothing of its inside goes out. The server's log has it."""
    return JSONResponse(
        {"detail": "The sandbox failed in a way it should not; its log says how."},
        500,
        {"connection": "close"},
    )


def distinct(items: Iterable[str]) -> tuple[str, ...]:
    """`items` in their order, each once."""
    return tuple(dict.fromkeys(items))
