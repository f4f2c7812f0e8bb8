"""A chat request becomes a `Question`, or for a gateway in front a `RawRequest`."""

from __future__ import annotations

from assistant.conversation import Question, Turn
from assistant.prompts import Message as PromptMessage
from assistant.sampling import Sampling
from assistant.serve.errors import ApiError
from assistant.serve.formats import Format
from assistant.serve.images import ImageSource, check_count, read_images
from assistant.serve.raw import RawRequest
from assistant.serve.schemas import ChatRequest, FilePart, ImagePart, Message, TextPart, Wishes

SYSTEM_IGNORED = "The request's own instructions (system messages) were not followed: the assistant has fixed ones."
EARLIER_IMAGES = "{count} image(s) of earlier messages were not looked at: the answer is about the latest images."


def check_supported(body: ChatRequest, *, raw: bool) -> None:
    """Refuse what would otherwise be passed over in silence.

    Args:
        body: the request.
        raw: whether this server writes without review; only then can it tell token probabilities.
    Raises:
        ApiError: names the field.
    """
    reasons = {
        "n": (body.n not in (None, 1), "one answer is made for each request; ask again for another"),
        "tools": (bool(body.tools), "the assistant calls no tools"),
        "functions": (bool(body.functions), "the assistant calls no functions"),
        "modalities": (body.modalities not in (None, [], ["text"]), "answers are text"),
        "audio": (bool(body.audio), "answers are text"),
        "prediction": (bool(body.prediction), "an answer is written from its first word"),
        "web_search_options": (body.web_search_options is not None, "nothing is looked up outside this machine"),
        "logit_bias": (bool(body.logit_bias), "tokens are not weighted"),
        "presence_penalty": (bool(body.presence_penalty), "it would change what the confidence is measured on"),
        "frequency_penalty": (bool(body.frequency_penalty), "it would change what the confidence is measured on"),
        "top_logprobs": (bool(body.top_logprobs), "only the written tokens' probabilities are told"),
        "logprobs": (
            bool(body.logprobs) and not raw,
            "a reviewed answer is not the tokens that were written; its confidence stands in medassist",
        ),
        "options": (bool(body.options) and raw, "a server that runs with --raw writes free text only"),
        "response_format": (
            raw and body.response_format is not None and body.response_format.type != "text",
            "a server that runs with --raw writes free text only",
        ),
    }
    for name, (given, why) in reasons.items():
        if given:
            raise ApiError(
                400, f"{name} is not supported: {why}. Leave it out.", code="unsupported_parameter", param=name
            )


def sampling_of(body: Wishes, stop: tuple[str, ...] = ()) -> Sampling:
    """Return how a text is to be written."""
    seed = None if body.seed is None else body.seed & (2**63 - 1)
    longest = getattr(body, "max_completion_tokens", None) or body.max_tokens
    return Sampling(body.temperature, body.top_p, seed, longest, stop)


def stop_words(body: ChatRequest) -> tuple[str, ...]:
    """Return the stop words as a tuple."""
    return (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())


def question_of(body: ChatRequest, wanted: Format, most_images: int) -> tuple[Question, list[str]]:
    """Make the question that the last message asks. Reads images: call it off the event loop.

    Args:
        body: the request.
        wanted: form of the answer; it may name options.
        most_images: that one request may hold.
    Returns:
        The question, and what its reader should know of how it was understood.
    Raises:
        ApiError: the messages cannot be understood, or an image cannot be used.
    """
    messages = [(place, one) for place, one in enumerate(body.messages) if one.role in ("user", "assistant")]
    cautions = [SYSTEM_IGNORED] if len(messages) < len(body.messages) else []
    if not messages or messages[-1][1].role != "user":
        raise ApiError(400, "The last message is not the user's: there is no question.", code="no_question",
                       param=f"messages[{len(body.messages) - 1}].role")  # fmt: skip
    sources = {place: _sources(one, place) for place, one in messages}
    last, subject = messages[-1][0], max((place for place, found in sources.items() if found), default=None)
    pictures = read_images(sources[subject], most_images) if subject is not None else ()
    earlier = sum(len(found) for place, found in sources.items() if place != subject)
    if earlier:
        cautions.append(EARLIER_IMAGES.format(count=earlier))
    text = _text(messages[-1][1])
    if not text.strip():
        raise ApiError(400, "The last message has no text: ask a question about its image.", code="no_question",
                       param=f"messages[{last}].content")  # fmt: skip
    # New images begin a new subject, on the page and here.
    history = tuple(
        Turn("user" if one.role == "user" else "assistant", _text(one))
        for place, one in messages[:-1]
        if (subject is None or place >= subject) and _text(one).strip()
    )
    options = tuple(body.options or ()) or wanted.options
    return Question(text, pictures, history, options, sampling_of(body, stop_words(body))), cautions


def raw_of(body: ChatRequest, most_images: int) -> RawRequest:
    """Make a conversation that is gone on with exactly as it is. Reads images: call it off the event loop.

    Args:
        body: the request.
        most_images: that one request may hold.
    Returns:
        The messages with a slot for each image, and the images.
    Raises:
        ApiError: the last message is not the user's, or an image cannot be used.
    """
    if body.messages[-1].role != "user":
        raise ApiError(400, "The last message is not the user's: there is no question.", code="no_question",
                       param=f"messages[{len(body.messages) - 1}].role")  # fmt: skip
    sources = [_sources(one, place) for place, one in enumerate(body.messages)]
    check_count(sum(map(len, sources)), most_images, "messages")
    messages: list[PromptMessage] = []
    for one, found in zip(body.messages, sources, strict=True):
        slots: list[dict[str, str]] = [{"type": "image"} for _ in found]
        role = "system" if one.role == "developer" else one.role
        messages.append({"role": role, "content": [*slots, {"type": "text", "text": _text(one)}]})
    pictures = read_images([source for found in sources for source in found])
    return RawRequest(tuple(messages), pictures, sampling_of(body, stop_words(body)))


def count_images(body: ChatRequest) -> int:
    """Return how many images a request holds, for the audit log."""
    parts = [part for one in body.messages if isinstance(one.content, list) for part in one.content]
    return sum(not isinstance(part, TextPart) for part in parts)


def _sources(message: Message, place: int) -> list[ImageSource]:
    """Return the images of a message, unread."""
    found = []
    for number, part in enumerate(message.content if isinstance(message.content, list) else ()):
        where = f"messages[{place}].content[{number}]"
        if isinstance(part, ImagePart):
            image = part.image_url
            found.append(ImageSource(image.url, f"{where}.image_url.url", image.frame, image.window))
        elif isinstance(part, FilePart):
            found.append(ImageSource(part.file.file_data, f"{where}.file.file_data"))
    if found and message.role != "user":
        raise ApiError(400, "Only messages of the user can hold images.", code="invalid_value", param=found[0].place)
    return found


def _text(message: Message) -> str:
    if isinstance(message.content, list):
        return "\n".join(part.text for part in message.content if isinstance(part, TextPart))
    return message.content or ""
