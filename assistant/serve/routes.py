"""Puts the API's routes, its gate and its errors into the application that serves the page."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response

from assistant import __version__
from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.serve.chat import chat_router
from assistant.serve.docs_page import docs_html
from assistant.serve.engine import QueuedService
from assistant.serve.errors import ApiError, install_handlers
from assistant.serve.feedback import feedback_router
from assistant.serve.gate import Gate
from assistant.serve.keys import KeyRing
from assistant.serve.metrics import CONTENT_TYPE
from assistant.serve.models import models_router
from assistant.serve.others import embeddings_router, reports_router

OPENED = ("/v1", "/metrics", "/healthz", "/readyz", "/openapi.json", "/docs")
"""Beginnings of paths that are the API's, not the page's."""

NOT_HERE = {
    "responses": "The Responses API is not served: an answer is given whole, with what it stands on. Use "
    "/v1/chat/completions.",
    "completions": "Text is not continued here. Ask with /v1/chat/completions.",
    "files": "Nothing is kept here: send an image with its question, as a data URL.",
    "assistants": "Nothing is kept here: send the conversation with each question to /v1/chat/completions.",
}
"""What to do instead of what OpenAI's clients may look for."""


def add_api(app: FastAPI, service: QueuedService, keys: KeyRing | None) -> None:
    """Add the API to an application.

    Args:
        app: with `/healthz`; the page is mounted after this.
        service: answers.
        keys: who may ask; None lets everyone on this machine.
    """
    routers: list[APIRouter] = [
        chat_router(service),
        reports_router(service),
        embeddings_router(service),
        feedback_router(service),
        models_router(service, int(time.time())),
    ]
    described = [route for router in routers for route in router.routes]
    for router in routers:
        app.include_router(router)
    install_handlers(app)
    app.add_middleware(
        Gate, settings=service.settings, keys=keys, metrics=service.calls.metrics, room=service.queue.check
    )
    spec = _description(described, keys is not None)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(spec)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_html(spec))

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(service.calls.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        parts = service.health()
        return JSONResponse(parts, 200 if set(parts.values()) <= {"ready", "up"} else 503)

    every = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"]

    @app.api_route("/v1/{path:path}", methods=every, include_in_schema=False)
    async def unknown(request: Request, path: str) -> Response:
        allowed = sorted(
            {method for route in described if _matches(route, request) for method in getattr(route, "methods", ())}
        )
        if allowed:
            raise ApiError(405, f"Use {' or '.join(allowed)}.", code="method_not_allowed",
                           headers={"Allow": ", ".join(allowed)})  # fmt: skip
        instead = NOT_HERE.get(path.partition("/")[0], "See /docs for what there is.")
        raise ApiError(404, f"There is nothing at this address. {instead}", code="unknown_url")


def _matches(route: Any, request: Request) -> bool:
    return bool(route.path_regex.match(request.scope["path"]))


def _description(routes: list[Any], needs_key: bool) -> dict[str, Any]:
    """Return the OpenAPI description; a wrong field is a 400 here, so FastAPI's own 422 is taken out."""
    spec = get_openapi(title="medassist", version=__version__, description=NOT_FOR_CLINICAL_USE, routes=routes)
    for methods in spec["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            if needs_key:
                operation["security"] = [{"key": []}]
    parts = spec["components"]
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)
    if needs_key:
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    chat = spec["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"]
    chat["text/event-stream"] = {"schema": {"type": "string"}}
    return spec
