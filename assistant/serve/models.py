"""`/v1/models`: which model answers, and what it is made of."""

from __future__ import annotations

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter

from assistant.commands.opened import Opened
from assistant.serve.answers import ErrorBody, ModelCard, Models
from assistant.serve.engine import QueuedService
from assistant.serve.errors import ApiError


async def opened_of(service: QueuedService) -> Opened:
    """Return the loaded model, and wait for it while it loads, off the event loop."""
    return service.get() if service.state == "ready" else await run_sync(service.get)


async def check_model(service: QueuedService, name: str) -> Opened:
    """Refuse a model that is not served here.

    Args:
        service: of this server.
        name: as the request has it.
    Returns:
        The loaded model.
    Raises:
        ApiError: there is no such model.
    """
    opened = await opened_of(service)
    if name != opened.model_name:
        raise ApiError(
            404, f"This server has no such model. It serves {opened.model_name}.", code="model_not_found", param="model"
        )
    return opened


def card_of(opened: Opened, created: int) -> dict[str, Any]:
    """Return what is told of a model."""
    model = opened.assistant.model
    return {
        "id": opened.model_name,
        "object": "model",
        "created": created,
        "owned_by": "medassist",
        "fingerprint": opened.model_fingerprint,
        "index": opened.index_fingerprint,
        "encoder": model.contract.encoder,
        "dimensions": model.text.dimension,
    }


def models_router(service: QueuedService, created: int) -> APIRouter:
    """Return the routes.

    Args:
        service: of this server.
        created: when it began, in seconds since 1970.
    Returns:
        To be included in the application.
    """
    router = APIRouter(tags=["models"])
    errors: dict[int | str, dict[str, Any]] = {status: {"model": ErrorBody} for status in (401, 404, 429, 503)}

    @router.get("/v1/models", response_model=Models, responses=errors, summary="List the model")
    async def models() -> dict[str, Any]:
        """Tell which model answers, with its fingerprint, its index and the width of its embeddings."""
        return {"object": "list", "data": [card_of(await opened_of(service), created)]}

    @router.get("/v1/models/{name}", response_model=ModelCard, responses=errors, summary="Describe the model")
    async def model(name: str) -> dict[str, Any]:
        """Tell the same of one model by its name."""
        return card_of(await check_model(service, name), created)

    return router
