"""What answers look like, for the description of the API; the routes write the same fields."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class ErrorInside(BaseModel):
    """What was wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Any error, as OpenAI's clients read it."""

    error: ErrorInside


class Grounds(BaseModel):
    """Ours, beside what OpenAI's API has: what an answer stands on."""

    answer: str
    confidence: float
    abstained: bool
    evidence: list[dict[str, Any]]
    slices: list[dict[str, Any]] | None = None
    cautions: list[str]
    model: dict[str, str]
    seconds: float
    index: str | None = None


class ChatMessage(BaseModel):
    """The answer as a message."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None


class Choice(BaseModel):
    """The one answer."""

    index: int
    message: ChatMessage
    finish_reason: Literal["stop", "length"]
    logprobs: dict[str, Any] | None = None


class Tokens(BaseModel):
    """What it took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(BaseModel):
    """An answer, with what it stands on in `medassist`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: Tokens
    medassist: Grounds | None = None


class ReportAnswer(BaseModel):
    """A drafted report."""

    id: str
    object: Literal["report"]
    created: int
    sections: dict[str, str]
    confidence: float
    abstained: bool
    evidence: list[dict[str, Any]]
    slices: list[dict[str, Any]] | None = None
    cautions: list[str]
    doubts: list[str] = []
    critical: list[dict[str, Any]] = []
    template: dict[str, Any] | None = None
    model: dict[str, str]
    seconds: float
    index: str | None = None
    usage: Tokens


class Vector(BaseModel):
    """One embedding."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(BaseModel):
    """Embeddings, in the order of the input."""

    object: Literal["list"]
    data: list[Vector]
    model: str
    usage: dict[str, int]


class ModelCard(BaseModel):
    """A model, and what it is made of; fingerprint, index and memory are null until it is loaded.

    `id` is what a request asks for, `title` the model's own name, which its answers and reports carry.
    """

    id: str
    title: str
    object: Literal["model"]
    created: int
    owned_by: str
    fingerprint: str | None
    index: str | None
    encoder: str
    dimensions: int
    loaded: bool
    adapter: bool
    memory_mb: float | None


class Models(BaseModel):
    """The models that answer here."""

    object: Literal["list"]
    data: list[ModelCard]


class FeedbackKept(BaseModel):
    """What was kept of a client's word on an answer."""

    id: str
    object: Literal["feedback"]
    kind: Literal["answer", "report"]
    pictures_kept: int
    notice: str
