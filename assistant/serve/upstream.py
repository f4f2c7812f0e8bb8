"""`UpstreamWriter`: another OpenAI-style server writes the text; retrieval, review and the audit log stay here.

What goes there: the prompt as this assistant lays it out, and the images' pixels as PNG, with nothing of their headers.
What must come back: the text, and the probabilities of its tokens, from which the confidence is worked out.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from assistant.config import LOOPBACK, GenerationConfig
from assistant.engine.prompt import Prompt
from assistant.engine.row import Generated
from assistant.errors import AssistantError, ConfigError, ModelError
from assistant.imaging.picture import Picture
from assistant.questions import matching_option
from assistant.serve.settings import ServeConfig

logger = logging.getLogger(__name__)

_CONNECT_S = 10.0


def check_address(address: str, allowed: Sequence[str]) -> str:
    """Refuse an upstream server that is neither on this machine nor allowed by name.

    Args:
        address: http or https, with the path before /chat/completions.
        allowed: hosts beyond this machine.
    Returns:
        The address without a slash at its end.
    Raises:
        ConfigError: it is no such address, or its host is not allowed.
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname if parts.port != 0 and parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if not host or parts.username or parts.query:
        raise ConfigError(f"upstream is {address!r}; give an address such as http://127.0.0.1:8000/v1")
    if not _is_loopback(host) and host not in allowed:
        raise ConfigError(
            f"upstream is on {host}, which is not this machine: images and questions would go there. If that is meant, "
            f"allow it by name: --upstream-host {host}"
        )
    return address.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK


class UpstreamWriter:
    """Writes to prompts as `Generator` does, on another server.

    Args:
        serve: its address, its model's name, its key.
        settings: what the prompts' sampling leaves open.
    """

    def __init__(self, serve: ServeConfig, settings: GenerationConfig) -> None:
        self._address = check_address(serve.upstream or "", serve.upstream_hosts)
        self._settings = settings
        headers = {"Authorization": f"Bearer {_key(serve.upstream_key)}"} if serve.upstream_key else {}
        # No redirect and no proxy: either would take images to a host that nobody allowed.
        self._client = httpx.Client(
            headers=headers, timeout=httpx.Timeout(serve.timeout_s, connect=_CONNECT_S), trust_env=False,
            follow_redirects=False, limits=httpx.Limits(max_connections=settings.batch_size),
        )  # fmt: skip
        self._pool = ThreadPoolExecutor(settings.batch_size, thread_name_prefix="upstream")
        try:
            self.model = serve.upstream_model or self._only_model()
            """The model's name on that server."""
        except AssistantError:
            self.close()
            raise

    def close(self) -> None:
        """End the connections to the other server."""
        self._pool.shutdown(wait=False)
        self._client.close()

    def answer(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]], *, max_new_tokens: int | None = None
    ) -> list[tuple[Generated, list[float]]]:
        """Write an answer to each prompt, all at once; the other server batches them.

        Args:
            prompts: any number.
            options: for each prompt the continuations to weigh; may be empty.
            max_new_tokens: the settings' own, unless given.
        Returns:
            For each prompt, in order, the free answer, and a log-probability of each option: the written one has its
            own, the others share the rest. All are minus infinity if none of them was written.
        Raises:
            AssistantError: the server cannot be reached, or answers something that cannot be used.
        """
        made = list(self._pool.map(lambda prompt: self._written(prompt, max_new_tokens), prompts))
        return [(one, _scores(one, choices)) for one, choices in zip(made, options, strict=True)]

    def stream(self, prompt: Prompt, *, max_new_tokens: int | None = None) -> Iterator[str | Generated]:
        """Yield the answer in pieces, then the whole; pieces join to its text."""
        yield from self._pieces(prompt, max_new_tokens)

    def _written(self, prompt: Prompt, max_new_tokens: int | None) -> Generated:
        tell = prompt.sampling.on_text
        for piece in self._pieces(prompt, max_new_tokens):
            if isinstance(piece, Generated):
                return piece
            if tell is not None:
                tell(piece)
        raise AssistantError(f"The upstream server {self._address} ended its answer too early. Ask again.")

    def _pieces(self, prompt: Prompt, max_new_tokens: int | None) -> Iterator[str | Generated]:
        text, reason = "", None
        log_probs: list[float] = []
        gone = prompt.sampling.cancelled or (lambda: False)
        for event in self._events(self._request(prompt, max_new_tokens)):
            choice = (event.get("choices") or [{}])[0]
            piece = (choice.get("delta") or {}).get("content") or ""
            piece = piece if text else piece.lstrip()
            log_probs += [float(one["logprob"]) for one in (choice.get("logprobs") or {}).get("content") or ()]
            reason = choice.get("finish_reason") or reason
            if piece:
                text += piece
                yield piece
            if gone():
                break
        if text and not log_probs and not gone():
            raise ModelError(
                f"The upstream server {self._address} tells no token probabilities (logprobs), from which the "
                "confidence is worked out. Use a server that does: vLLM, or ours with --raw."
            )
        yield Generated(text.rstrip(), (), tuple(log_probs), reason != "length")

    def _request(self, prompt: Prompt, max_new_tokens: int | None) -> dict[str, Any]:
        own, usual = prompt.sampling, self._settings
        waiting = iter(prompt.pictures)
        messages = [
            {"role": one["role"], "content": [_part(part, waiting) for part in one["content"]]}
            for one in prompt.messages
        ]
        request: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "stream": True,
            "logprobs": True,
            "temperature": usual.temperature if own.temperature is None else own.temperature,
            "top_p": usual.top_p if own.top_p is None else own.top_p,
            "seed": usual.seed if own.seed is None else own.seed,
            "max_tokens": own.max_new_tokens or max_new_tokens or usual.max_new_tokens,
        }
        return {**request, "stop": list(own.stop)} if own.stop else request

    def _events(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the events of one answer as they come."""
        try:
            with self._client.stream("POST", f"{self._address}/chat/completions", json=request) as response:
                if response.status_code != 200:
                    response.read()
                    raise AssistantError(self._refusal(response))
                for line in response.iter_lines():
                    if not line.startswith("data:") or line[5:].strip() == "[DONE]":
                        continue
                    event = json.loads(line[5:])
                    if "error" in event:
                        raise AssistantError(f"The upstream server {self._address} failed while it wrote. Ask again.")
                    yield event
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise AssistantError(
                f"The upstream server {self._address} sent what is no JSON. Is it OpenAI-style?"
            ) from error

    def _refusal(self, response: httpx.Response) -> str:
        """Return what to tell of a refusal; its own words may quote the question, so only its code is passed on."""
        try:
            told = response.json()["error"]
            code = str(told.get("code") or told.get("type") or "")[:60]
        except (ValueError, KeyError, TypeError, AttributeError):
            code = ""
        logger.warning("the upstream server refused with status %d %s", response.status_code, code)
        return (
            f"The upstream server {self._address} refused with status {response.status_code}"
            f"{f' ({code})' if code else ''}. See its log."
        )

    def _unreachable(self, error: httpx.HTTPError) -> AssistantError:
        return ModelError(
            f"The upstream server {self._address} does not answer ({type(error).__name__}). "
            "Start it, or check --upstream."
        )

    def _only_model(self) -> str:
        try:
            response = self._client.get(f"{self._address}/models")
            names = [str(one["id"]) for one in response.json()["data"]]
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{self._address}/models (status {response.status_code}) lists no models. Is that the address of an "
                "OpenAI-style server, with its /v1?"
            ) from error
        if len(names) != 1:
            raise ConfigError(f"{self._address} serves {len(names)} models; name one with --upstream-model.")
        return names[0]


def _part(part: dict[str, str], waiting: Iterator[Picture]) -> dict[str, Any]:
    if part["type"] != "image":
        return dict(part)
    buffer = io.BytesIO()
    next(waiting).to_pil().save(buffer, "PNG")
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"},
    }


def _scores(made: Generated, options: Sequence[str]) -> list[float]:
    chosen = matching_option(made.text, list(options)) if options else None
    if chosen is None:
        return [-math.inf] * len(options)
    share = min(math.exp(sum(made.log_probs)), 1 - 1e-9)
    same = [_plain(one) == _plain(chosen) for one in options]
    others = same.count(False)
    rest = math.log((1 - share) / others) if others else -math.inf
    first = same.index(True)
    return [
        math.log(max(share, 1e-300)) if place == first else -math.inf if alike else rest
        for place, alike in enumerate(same)
    ]


def _plain(text: str) -> str:
    return text.casefold().strip(" .")


def _key(path: str | None) -> str:
    try:
        return Path(path or "").expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The key of the upstream server cannot be read from {path} ({error}).") from error
