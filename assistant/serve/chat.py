"""`/v1/chat/completions`: one answer, whole or streamed, with what it stands on."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from assistant.commands.opened import Opened
from assistant.conversation import Answer, Question, Usage
from assistant.engine.row import until
from assistant.serve.answers import ChatCompletion, ErrorBody
from assistant.serve.calls import Call
from assistant.serve.engine import QueuedService
from assistant.serve.errors import as_api_error
from assistant.serve.feedback import remember
from assistant.serve.formats import Format, format_of
from assistant.serve.gate import CLIENT
from assistant.serve.jobs import Job
from assistant.serve.messages import check_supported, count_images, question_of, raw_of, stop_words
from assistant.serve.models import check_model
from assistant.serve.raw import RawText
from assistant.serve.schemas import ChatRequest
from assistant.serve.waiting import pieces_of, result_of

logger = logging.getLogger(__name__)

REPLACED = "\n\n[After review, this takes the place of what stands above:] "
"""Said where a streamed text did not pass review: what was sent cannot be taken back."""
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 401, 404, 413, 415, 429, 500, 503, 504)
}


class Asked:
    """One chat request on its way: what was asked, and how its answer is written out."""

    def __init__(self, body: ChatRequest, service: QueuedService, call: Call, opened: Opened) -> None:
        self.body, self.service, self.call, self.opened = body, service, call, opened
        self.format: Format = format_of(body.response_format)
        self.cautions: list[str] = []
        self.created = int(time.time())
        self.question: Question | None = None
        self.pieces: asyncio.Queue[str] = asyncio.Queue()

    @property
    def name(self) -> str:
        """The answer's id."""
        return f"chatcmpl-{self.call.id}"

    async def submit(self) -> Job:
        """Read the images and let the question wait for the model."""
        most = self.service.settings.max_images
        loop = asyncio.get_running_loop()

        def tell(piece: str) -> None:
            loop.call_soon_threadsafe(self.pieces.put_nowait, piece)

        streams = tell if self.body.stream and self.format.kind == "text" else None
        if self.service.settings.raw:
            raw = await run_sync(raw_of, self.body, most)
            return self.service.ask("raw", self.call.who, raw, streams, self.opened, name=self.call.id)
        question, self.cautions = await run_sync(functools.partial(question_of, self.body, self.format, most))
        self.question = question
        return self.service.ask("chat", self.call.who, question, streams, self.opened, name=self.call.id)

    def written(self, made: Answer | RawText) -> tuple[str | None, str | None, Usage]:
        """Return content, refusal and usage, and note how it ended."""
        if isinstance(made, RawText):
            self.call.finished("raw", False, made.usage)
            return made.text, None, made.usage
        self.call.finished("chat", made.abstained, made.usage)
        if self.question is not None:
            remember(self.service, self.call, self.name, self.question, made)
        content, refusal = self.format.written(made)
        if content is not None and self.format.kind == "text" and not made.abstained:
            content, _ = until(content, stop_words(self.body))  # quotations and citations were not generated
        return content, refusal, made.usage

    def frame(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return the fields that every response and chunk has."""
        opened = self.opened
        index = f"+{opened.index_fingerprint}" if opened.index_fingerprint else ""
        return {
            "id": self.name,
            "object": kind,
            "created": self.created,
            "model": self.body.model,
            "system_fingerprint": f"{opened.model_fingerprint}{index}",
            **fields,
        }

    def grounds(self, made: Answer | RawText) -> dict[str, Any]:
        """Return our own fields."""
        if isinstance(made, RawText):
            return {}
        told = made.to_dict()
        told["cautions"] = [*self.cautions, *told["cautions"]]
        return {"medassist": {**told, "index": self.opened.index_fingerprint}}

    def logprobs(self, made: Answer | RawText) -> dict[str, Any] | None:
        """Return the written tokens with their probabilities, where they were asked for."""
        if not self.body.logprobs or not isinstance(made, RawText):
            return None
        return {
            "content": [
                {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []}
                for token, value in made.tokens
            ],
            "refusal": None,
        }


def chat_router(service: QueuedService) -> APIRouter:
    """Return the route.

    Args:
        service: answers.
    Returns:
        To be included in the application.
    """
    router = APIRouter()

    @router.post(
        "/v1/chat/completions", response_model=ChatCompletion, responses=ERRORS, summary="Answer a question",
        tags=["chat"],
    )  # fmt: skip
    async def complete(body: ChatRequest, request: Request) -> Response:
        """Answer the last message; `medassist` tells confidence, evidence and cautions. `stream` sends events."""
        check_supported(body, raw=service.settings.raw)
        opened = await check_model(service, body.model)
        service.check_writer()
        stack = ExitStack()
        with stack:
            images, via = count_images(body), _via(request)
            watched = service.calls.watched("chat", request.scope[CLIENT], images=images, via=via, opened=opened)
            call = stack.enter_context(watched)
            asked = Asked(body, service, call, opened)
            job = await asked.submit()
            if not body.stream:
                return JSONResponse(_completion(asked, await result_of(job, request, service)), headers=_headers(call))
            rest = stack.pop_all()
        return StreamingResponse(_events(asked, job, rest), media_type="text/event-stream", headers=_headers(call))

    return router


def _headers(call: Call) -> dict[str, str]:
    return {"x-request-id": call.id, "Cache-Control": "no-store"}


def _via(request: Request) -> str | None:
    """Return the id that a gateway in front gave the request, if it is one of ours."""
    given = request.headers.get("x-medassist-via", "")
    return given if len(given) == 32 and given.isalnum() else None


def _completion(asked: Asked, made: Answer | RawText) -> dict[str, Any]:
    content, refusal, usage = asked.written(made)
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {
        "index": 0, "message": message, "logprobs": asked.logprobs(made), "finish_reason": _reason(usage)
    }  # fmt: skip
    return asked.frame("chat.completion", choices=[choice], usage=tokens(usage), **asked.grounds(made))


async def _events(asked: Asked, job: Job, stack: ExitStack) -> AsyncIterator[str]:
    """Yield the answer as server-sent events. The audit log's second line is written when it ends, however it does."""
    sent = ""
    with stack:
        try:
            yield _event(_chunk(asked, {"role": "assistant", "content": ""}))
            async for piece in pieces_of(job, asked.pieces, asked.service):
                asked.call.wrote()
                sent += piece
                yield _event(_chunk(asked, {"content": piece}))
            made = job.future.result()
            content, refusal, usage = asked.written(made)
            delta = {"refusal": refusal} if content is None else {"content": _remainder(sent, content)}
            if delta.get("content") != "":
                asked.call.wrote()
                yield _event(_chunk(asked, delta))
            yield _event(_chunk(asked, {}, _reason(usage), asked.logprobs(made)) | asked.grounds(made))
            if asked.body.stream_options and asked.body.stream_options.include_usage:
                yield _event(asked.frame("chat.completion.chunk", choices=[], usage=tokens(usage)))
            yield "data: [DONE]\n\n"
        except Exception as error:
            # Too late for another status: OpenAI's clients raise on an event that holds an error.
            asked.call.outcome = f"failed: {as_api_error(error).code}"
            yield _event(as_api_error(error).body())


def _remainder(sent: str, content: str) -> str:
    """Return what is still to be sent of a reviewed answer, after what was sent while it was written."""
    if content.startswith(sent):
        return content[len(sent) :]
    return REPLACED + content if content.strip() != sent.strip() else ""


def _chunk(asked: Asked, delta: dict[str, Any], reason: str | None = None, logprobs: Any = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
    return asked.frame("chat.completion.chunk", choices=[choice])


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


def _reason(usage: Usage) -> str:
    return "stop" if usage.finished else "length"


def tokens(usage: Usage) -> dict[str, int]:
    """Return usage as OpenAI's clients read it."""
    total = usage.prompt_tokens + usage.completion_tokens
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": total}
