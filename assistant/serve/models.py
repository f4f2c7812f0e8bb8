"""`/v1/models`: which models answer, and what they are made of."""

from __future__ import annotations

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter

from assistant.commands.opened import Opened
from assistant.model.weights import own_bytes
from assistant.serve.answers import ErrorBody, ModelCard, Models
from assistant.serve.engine import QueuedService
from assistant.serve.errors import ApiError
from assistant.shelf import MAIN


async def opened_of(service: QueuedService, key: str = MAIN) -> Opened:
    """Return a loaded model, and wait for it while it loads, off the event loop."""
    if service.shelf.look(key) is not None:
        return service.get(model=key)
    return await run_sync(service.get, float(service.settings.timeout_s), key)


async def find_model(service: QueuedService, name: str) -> str:
    """Return the key of a model on the server's shelf.

    Args:
        service: of this server.
        name: as the request has it.
    Returns:
        The key.
    Raises:
        ApiError: there is no such model.
    """
    names = [await _main_name(service), *service.shelf.names[1:]]
    if name not in names:
        raise ApiError(
            404, f"This server has no such model. It serves {', '.join(names)}.", code="model_not_found", param="model"
        )
    return service.shelf.names[names.index(name)]


async def _main_name(service: QueuedService) -> str:
    return (await opened_of(service)).model_name if service.others is None else service.others.main


async def check_model(service: QueuedService, name: str) -> Opened:
    """Refuse a model that is not served here, and load one that is.

    Args:
        service: of this server.
        name: as the request has it.
    Returns:
        The loaded model.
    Raises:
        ApiError: there is no such model.
    """
    return await opened_of(service, await find_model(service, name))


def card_of(service: QueuedService, key: str, created: int) -> dict[str, Any]:
    """Return what is told of a model; of one that is not loaded what its contract says."""
    opened, others = service.shelf.look(key), service.others
    usual = {"object": "model", "created": created, "owned_by": "medassist"}
    if opened is None:
        name = key or (others.main if others else "")
        about = others.about[name] if others else None
        return {
            "id": name, "title": about.title if about else name, **usual, "fingerprint": None, "index": None,
            "encoder": about.encoder if about else "", "dimensions": about.dimensions if about else 0, "loaded": False,
            "adapter": bool(about and about.adapter), "memory_mb": None,
        }  # fmt: skip
    model = opened.assistant.model
    return {
        "id": opened.model_name,
        "title": model.name,
        **usual,
        "fingerprint": opened.model_fingerprint,
        "index": opened.index_fingerprint,
        "encoder": model.contract.encoder,
        "dimensions": model.text.dimension,
        "loaded": True,
        "adapter": model.contract.base is not None,
        "memory_mb": round(own_bytes(model) / 1e6, 1),
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

    @router.get("/v1/models", response_model=Models, responses=errors, summary="List the models")
    async def models() -> dict[str, Any]:
        """Tell which models answer: fingerprint, index, width of the embeddings, and the memory of those loaded."""
        await _main_name(service)
        return {"object": "list", "data": [card_of(service, key, created) for key in service.shelf.names]}

    @router.get("/v1/models/{name}", response_model=ModelCard, responses=errors, summary="Describe a model")
    async def model(name: str) -> dict[str, Any]:
        """Tell the same of one model by its name; it is not loaded for that."""
        return card_of(service, await find_model(service, name), created)

    return router
