"""`/v1/reports` and `/v1/embeddings`."""

from __future__ import annotations

import base64
import time

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from assistant.conversation import Report, ReportRequest
from assistant.imaging.picture import subjects
from assistant.serve.answers import Embeddings, ReportAnswer
from assistant.serve.chat import ERRORS, tokens
from assistant.serve.engine import QueuedService
from assistant.serve.errors import ApiError
from assistant.serve.feedback import remember
from assistant.serve.gate import CLIENT
from assistant.serve.images import ImageSource, check_count, read_images
from assistant.serve.messages import sampling_of
from assistant.serve.models import check_model
from assistant.serve.schemas import MAX_TEXT, EmbeddingsRequest, ImagePart, ImageUrl, ReportBody, TextPart
from assistant.serve.waiting import result_of


def reports_router(service: QueuedService) -> APIRouter:
    """Return the route that drafts reports.

    Args:
        service: drafts.
    Returns:
        To be included in the application.
    """
    router = APIRouter(tags=["reports"])

    @router.post("/v1/reports", response_model=ReportAnswer, responses=ERRORS, summary="Draft a report")
    async def draft(body: ReportBody, request: Request) -> Response:
        """Draft technique, findings and impression of one study, with confidence, evidence and cautions."""
        opened = await check_model(service, body.model)
        if service.settings.raw:
            raise ApiError(400, "A server that runs with --raw writes no reports; ask the gateway.", code="raw_server")
        service.check_writer()
        opened.assistant.templates.check([body.template])  # here, for a batch holds several people's requests
        count = len(body.images) + len(body.priors)
        with service.calls.watched("reports", request.scope[CLIENT], images=count, opened=opened) as call:
            asked = await run_sync(_request, body, service.settings.max_images)
            job = service.ask("reports", call.who, asked, opened=opened, name=call.id)
            made: Report = await result_of(job, request, service)
            call.finished("reports", made.abstained, made.usage)
            remember(service, call, f"report-{call.id}", asked, made)
        told = {"id": f"report-{call.id}", "object": "report", "created": int(time.time()), **made.to_dict(),
                "index": opened.index_fingerprint, "usage": tokens(made.usage)}  # fmt: skip
        return JSONResponse(told, headers={"x-request-id": call.id, "Cache-Control": "no-store"})

    return router


def _request(body: ReportBody, most: int) -> ReportRequest:
    pictures, priors = (
        read_images([_source(one, f"{name}[{place}].url") for place, one in enumerate(images)], most)
        for name, images in (("images", body.images), ("priors", body.priors))
    )
    check_count(len(subjects(pictures)) + len(subjects(priors)), most, "images")
    return ReportRequest(
        pictures, priors, body.indication, history=body.history, template=body.template, sampling=sampling_of(body)
    )


def _source(image: ImageUrl, place: str) -> ImageSource:
    return ImageSource(image.url, place, image.frame, image.window)


def embeddings_router(service: QueuedService) -> APIRouter:
    """Return the route that embeds texts and images.

    Args:
        service: embeds.
    Returns:
        To be included in the application.
    """
    router = APIRouter(tags=["embeddings"])

    @router.post("/v1/embeddings", response_model=Embeddings, responses=ERRORS, summary="Embed texts and images")
    async def embed(body: EmbeddingsRequest, request: Request) -> Response:
        """Place texts and images in the space that they share: vectors of length 1, nearer is more alike."""
        opened = await check_model(service, body.model)
        width = opened.assistant.model.text.dimension
        if body.dimensions not in (None, width):
            raise ApiError(400, f"dimensions is {body.dimensions}; the space has {width}. Leave it out.",
                           code="unsupported_parameter", param="dimensions")  # fmt: skip
        texts, images = _sorted(body)
        if len(images) > 4 * service.settings.max_images:
            raise ApiError(400, f"{len(images)} images were sent. Send at most {4 * service.settings.max_images}.",
                           code="too_many_images", param="input")  # fmt: skip
        who, count = request.scope[CLIENT], len(images)
        with service.calls.watched("embeddings", who, images=count, opened=opened) as call:
            pictures = await run_sync(read_images, list(images.values()))
            rows: dict[int, np.ndarray] = {}
            for kind, places, payload in (
                ("texts", list(texts), list(texts.values())),
                ("images", list(images), pictures),
            ):
                if places:
                    made = await result_of(service.submit(kind, call.who, payload, opened), request, service)
                    rows.update(zip(places, made, strict=True))
            call.outcome = "answered"
        data = [
            {"object": "embedding", "index": place, "embedding": _written(rows[place], body.encoding_format)}
            for place in range(len(rows))
        ]
        count = sum(len(text.split()) for text in texts.values())
        told = {"object": "list", "data": data, "model": body.model,
                "usage": {"prompt_tokens": count, "total_tokens": count}}  # fmt: skip
        return JSONResponse(told, headers={"x-request-id": call.id, "Cache-Control": "no-store"})

    return router


def _sorted(body: EmbeddingsRequest) -> tuple[dict[int, str], dict[int, ImageSource]]:
    """Return the texts and the images of a request by their places."""
    texts: dict[int, str] = {}
    images: dict[int, ImageSource] = {}
    for place, one in enumerate([body.input] if isinstance(body.input, str) else body.input):
        where = "input" if isinstance(body.input, str) else f"input[{place}]"
        text = one.text if isinstance(one, TextPart) else one
        if isinstance(text, ImagePart):
            images[place] = _source(text.image_url, f"{where}.image_url.url")
        elif text[:5].lower() == "data:":
            images[place] = ImageSource(text, where)
        elif not text.strip() or len(text) > MAX_TEXT:
            raise ApiError(400, f"A text has {len(text)} characters; give 1 to {MAX_TEXT}.",
                           code="invalid_value", param=where)  # fmt: skip
        else:
            texts[place] = text
    return texts, images


def _written(row: np.ndarray, form: str | None) -> list[float] | str:
    """Return a vector as numbers, or as base64 of little-endian float32, which OpenAI's client asks for."""
    if form == "base64":
        return base64.b64encode(np.ascontiguousarray(row, dtype="<f4").tobytes()).decode()
    return [float(value) for value in row]
