"""Errors in the form that OpenAI's clients read: `{"error": {"message", "type", "param", "code"}}` with a status."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from assistant.errors import AssistantError, ConfigError, ImageError, ModelError, RetrievalError
from assistant.serve.jobs import Busy
from assistant.serve.upstream_breaker import UpstreamError

logger = logging.getLogger(__name__)

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """A request that is not answered, with what its client is told."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep what to tell.

        Args:
            status: of HTTP.
            message: what was wrong, and what to do.
            code: a short name of the fault, for programs.
            param: the field of the request that it is about.
            headers: to send along.
        """
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the JSON that the client reads."""
        return error_body(self.status, self.message, self.code, self.param)

    def response(self) -> JSONResponse:
        """Return the whole response."""
        return JSONResponse(self.body(), self.status, self.headers)


def error_body(status: int, message: str, code: str, param: str | None = None) -> dict[str, Any]:
    """Return an error's JSON, its type told from the status."""
    usual = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": _TYPES.get(status, usual), "param": param, "code": code}}


def as_api_error(error: Exception) -> ApiError:
    """Return any error in the API's form; what a library says of itself stays in the log.

    Args:
        error: of ours, or any other.
    Returns:
        What to tell the client.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Busy):
        status, code = (429, "too_many_requests") if error.own else (503, "server_busy")
        return ApiError(status, str(error), code=code, headers={"Retry-After": str(math.ceil(error.retry_after_s))})
    if isinstance(error, TimeoutError):
        return ApiError(504, "The request took longer than the server allows. Send less, or try later.", code="timeout")
    if isinstance(error, ImageError):
        return ApiError(400, str(error), code="invalid_image")
    if isinstance(error, UpstreamError):
        again = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
        return ApiError(error.status, str(error), code=error.code, headers=again)
    if isinstance(error, (ModelError, RetrievalError)):
        return ApiError(503, str(error), code="model_not_available", headers={"Retry-After": "60"})
    if isinstance(error, ConfigError):
        return ApiError(400, str(error), code="invalid_request")
    if isinstance(error, AssistantError):
        return ApiError(502, str(error), code="not_answered")
    logger.error("a request failed", exc_info=error)
    return ApiError(
        500, f"The server failed ({type(error).__name__}); its log says where. Try again.", code="internal_error"
    )


def install_handlers(app: FastAPI) -> None:
    """Make every error of the API's routes one in its form.

    Args:
        app: with the routes.
    """

    @app.exception_handler(ApiError)
    @app.exception_handler(AssistantError)
    @app.exception_handler(Exception)
    async def told(_: Request, error: Exception) -> JSONResponse:
        return as_api_error(error).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return _invalid(error).response()

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        body = error_body(error.status_code, f"{error.detail}. See /docs for what there is.", code)
        return JSONResponse(body, error.status_code, error.headers)


def _invalid(error: RequestValidationError) -> ApiError:
    """Name every field that is wrong, without quoting what it held: it may be a patient's."""
    faults = []
    if any(one["type"] == "json_invalid" for one in error.errors()):
        return ApiError(400, "The body is not valid JSON.", code="invalid_json")
    places = [field_name(one["loc"]) for one in error.errors()]
    for one, where in zip(error.errors(), places, strict=True):
        # Text or parts: whoever sent parts is told of the parts alone.
        if one["type"] != "string_type" or not any(place.startswith(f"{where}[") for place in places):
            faults.append((where, f"{where or 'the body'}: {one['msg']}"))
    code = "unknown_parameter" if all(one["type"] == "extra_forbidden" for one in error.errors()) else "invalid_value"
    return ApiError(400, "; ".join(text for _, text in faults), code=code, param=faults[0][0] or None)


def field_name(place: tuple[int | str, ...]) -> str:
    """Return a place in a request as OpenAI writes it: messages[0].content.

    Args:
        place: as pydantic gives it; the part "body" and the names of a union's members are left out.
    Returns:
        Empty for the body as a whole.
    """
    name = ""
    for part in place:
        if isinstance(part, int):
            name += f"[{part}]"
        elif part != "body" and part.isidentifier() and part.islower() and part not in {"str", "int", "float", "list"}:
            name += f".{part}" if name else part
    return name
