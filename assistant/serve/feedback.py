"""`/v1/feedback`: what a client says of an answer of her own."""

from __future__ import annotations

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from assistant.conversation import SECTIONS, Answer, Question, Report, ReportRequest
from assistant.errors import DataError
from assistant.feedback.desk import Desk
from assistant.feedback.recent import Subject, subject_of
from assistant.feedback.records import NOTICE, Opinion, corrected_report
from assistant.serve.answers import ErrorBody, FeedbackKept
from assistant.serve.calls import Call
from assistant.serve.engine import QueuedService
from assistant.serve.errors import ApiError
from assistant.serve.gate import CLIENT
from assistant.serve.schemas import FeedbackBody

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 401, 404, 413, 415, 429, 500, 503)
}


def remember(service: QueuedService, call: Call, name: str, asked: Question | ReportRequest, made: Any) -> None:
    """Remember an answer for a while, so that its asker can judge it.

    Args:
        service: of this server; one that takes no feedback remembers nothing.
        call: of the request.
        name: id of the answer.
        asked: what was asked.
        made: the answer or the report; any other text is no subject of feedback.
    """
    if service.feedback is not None and isinstance(made, Answer | Report):
        service.feedback.recent.note(
            call.who, subject_of(name, asked, made, call.opened.index_fingerprint if call.opened else None)
        )


def feedback_router(service: QueuedService) -> APIRouter:
    """Return the route.

    Args:
        service: of this server.
    Returns:
        To be included in the application.
    """
    router = APIRouter(tags=["feedback"])

    @router.post(
        "/v1/feedback", response_model=FeedbackKept, responses=_ERRORS, status_code=201, summary="Judge an answer"
    )
    async def give(body: FeedbackBody, request: Request) -> Response:
        """Keep what you say of an answer that this client was given within the last hour."""
        who, desk = request.scope[CLIENT], service.feedback
        if desk is None:
            raise ApiError(404, "This server takes no feedback (it runs with --feedback none).", code="feedback_off")
        subject = _subject(desk, who, body)
        opinion = _opinion(body, subject)
        made = await run_sync(desk.give, who, subject, opinion)
        kept = sum(one.png is not None for one in made.pictures)
        told = {"id": made.id, "object": "feedback", "kind": made.kind, "pictures_kept": kept, "notice": NOTICE}
        return JSONResponse(told, 201, headers={"Cache-Control": "no-store"})

    return router


def _subject(desk: Desk, who: str, body: FeedbackBody) -> Subject:
    subject = desk.recent.find(who, body.id)
    if subject is None:
        raise ApiError(
            404,
            "There is no such answer of yours. Feedback is taken for an hour, on what the same key was answered.",
            code="answer_not_found", param="id",
        )  # fmt: skip
    return subject


def _opinion(body: FeedbackBody, subject: Subject) -> Opinion:
    """Read what was said; of a report the correction is its edited sections."""
    correction = body.correction or ""
    if isinstance(subject.made, Report):
        if correction:
            raise ApiError(400, "Correct a report in `sections`.", code="invalid_value", param="correction")
        if body.sections is not None:
            correction = corrected_report({name: getattr(body.sections, name) for name in SECTIONS})
    elif body.sections is not None or body.accepted:
        name = "sections" if body.sections is not None else "accepted"
        raise ApiError(
            400, f"{name} is for reports; correct an answer in `correction`.", code="invalid_value", param=name
        )
    try:
        return Opinion(
            body.verdict, body.reason, body.comment or "", correction, bool(body.accepted), bool(body.keep_pictures)
        )
    except DataError as error:
        raise ApiError(400, str(error), code="invalid_value") from error
