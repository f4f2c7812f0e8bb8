"""What requests may hold, as OpenAI's clients send them; an unknown field is refused, not passed over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXT = 20_000
MAX_SECTION = 8000
"""Most characters of one text; far more than any context holds."""
MAX_MESSAGES = 200
MAX_INPUTS = 256
Text = Annotated[str, Field(max_length=MAX_TEXT)]


class Strict(BaseModel):
    """A part of a request in which nothing unknown may stand."""

    model_config = ConfigDict(extra="forbid")


class ImageUrl(Strict):
    """One image, as a data URL: JPEG, PNG, WebP, TIFF, BMP, GIF or DICOM; or a volume: NIfTI, or slices as DICOM."""

    url: str = Field(description="data:image/png;base64,… Addresses are refused: nothing is fetched.")
    detail: Literal["auto", "low", "high"] | None = Field(None, description="Taken and not used.")
    frame: int | None = Field(
        None, ge=0, le=100_000, description="Frame of a multi-frame file, or volume of a 4D one, from 0. Ours."
    )
    window: Annotated[str, Field(max_length=64)] | None = Field(
        None, description='"CENTRE,WIDTH" in the file\'s units, or a name such as lung. Ours.'
    )


class TextPart(Strict):
    """A piece of text."""

    type: Literal["text"]
    text: Text


class ImagePart(Strict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class FileData(Strict):
    """A file within a request."""

    file_data: str = Field(description="data:application/dicom;base64,…")
    filename: Annotated[str, Field(max_length=255)] | None = Field(None, description="Taken and neither used nor kept.")


class FilePart(Strict):
    """An image as a file, for clients that send DICOM this way."""

    type: Literal["file"]
    file: FileData


Part = Annotated[TextPart | ImagePart | FilePart, Field(discriminator="type")]


class Message(BaseModel):
    """One message. What an answer of ours had beside its text may be sent back with it, and is passed over."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[Part] | None = None


class StreamOptions(Strict):
    """What a stream tells at its end."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = Field(None, description="Taken and not used.")


class ResponseFormat(Strict):
    """Whether the answer is text or JSON."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class Wishes(Strict):
    """How a text is to be written."""

    model: Annotated[str, Field(max_length=256)] = Field(description="As /v1/models lists it.")
    temperature: float | None = Field(None, ge=0, le=2, description="0, the default, takes the likeliest token.")
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)


class ChatRequest(Wishes):
    """A conversation whose last message is the question."""

    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000, description="Another name of max_tokens.")
    stop: (
        Annotated[str, Field(min_length=1, max_length=128)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=4)]
        | None
    ) = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    options: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=32)] | None = Field(
        None, description="Answers to choose from. Ours; with the openai client: extra_body."
    )
    logprobs: bool | None = Field(None, description="Of a server that runs with --raw only.")
    # What follows is taken from clients that send it always, as long as it asks for nothing.
    n: int | None = None
    top_logprobs: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    modalities: list[str] | None = None
    audio: Any = None
    prediction: Any = None
    web_search_options: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    user: Annotated[str, Field(max_length=256)] | None = Field(None, description="Taken and not kept.")
    safety_identifier: Annotated[str, Field(max_length=256)] | None = None
    prompt_cache_key: Annotated[str, Field(max_length=256)] | None = None
    metadata: dict[str, str] | None = Field(None, description="Taken and not kept.")
    store: bool | None = Field(None, description="Nothing is stored for it, whatever is asked.")
    service_tier: str | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None


class ReportBody(Wishes):
    """One study to report on."""

    images: list[ImageUrl] = Field(min_length=1, max_length=1000)
    priors: list[ImageUrl] = Field(default_factory=list, max_length=1000)
    indication: Annotated[str, Field(max_length=2000)] | None = None
    history: Annotated[str, Field(max_length=2000)] | None = None
    template: Annotated[str, Field(max_length=64)] = "auto"


class EmbeddingsRequest(Strict):
    """Texts, or images as data URLs, to place in the space that both share."""

    model: Annotated[str, Field(max_length=256)] = Field(description="As /v1/models lists it.")
    input: str | Annotated[list[str | TextPart | ImagePart], Field(min_length=1, max_length=MAX_INPUTS)] = Field(
        description="Text, or a data URL of an image, or a list of them or of content parts."
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, description="The space has one width; another is refused.")
    user: Annotated[str, Field(max_length=256)] | None = Field(None, description="Taken and not kept.")


class EditedSections(Strict):
    """A report as a person left it."""

    technique: Annotated[str, Field(max_length=MAX_SECTION)] = ""
    findings: Annotated[str, Field(max_length=MAX_SECTION)] = ""
    impression: Annotated[str, Field(max_length=MAX_SECTION)] = ""


class FeedbackBody(Strict):
    """What a client says of an answer or a report of her own."""

    id: Annotated[str, Field(min_length=1, max_length=64)] = Field(description="Of the answer or report: chatcmpl-…")
    verdict: Literal["up", "down"]
    reason: (
        Literal[
            "made_up",
            "missed",
            "wrong_place",
            "wrong_size",
            "wrong_subject",
            "evidence",
            "sureness",
            "wording",
            "other",
        ]
        | None
    ) = None
    comment: Annotated[str, Field(max_length=MAX_SECTION)] | None = Field(None, description="Leave names out.")
    correction: Annotated[str, Field(max_length=MAX_SECTION)] | None = Field(
        None, description="What the answer should have been. Leave names out."
    )
    sections: EditedSections | None = Field(None, description="Of a report: as you would write it.")
    accepted: bool | None = Field(None, description="Of a report: you stand by it as it is in `sections`.")
    keep_pictures: bool | None = Field(
        None, description="You agree that the pixels are kept; otherwise a hash of them is."
    )
