"""`UpstreamLink`: the way to another OpenAI-style server. Many answers come over it at once, each on its own.

One thread with an event loop holds all connections. A request is tried again only while nobody has read anything of its
answer, and only where that helps: the connection failed, or the server said that it is busy. A server that is down is
left alone until a probe finds it up.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import httpx

from assistant.errors import AssistantError, ConfigError, ModelError
from assistant.serve.settings import ServeConfig
from assistant.serve.upstream_address import check_address, read_key
from assistant.serve.upstream_breaker import FIRST_PROBE_S, LONGEST_PROBE_S, Breaker, UpstreamError
from assistant.serve.upstream_events import MAX_EVENT, BadEventError, Collected, data_of, read_event

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CONNECT_S = 10.0
_PROBE = httpx.Timeout(20.0, connect=5.0)
"""A server that writes much is slow to tell its models; one that is not there is known by the connection."""
_WAITS_S = (0.2, 1.0)
"""Pauses before the second and the third try."""
_LONGEST_WAIT_S = 5.0
"""A server that asks for a longer pause is not waited for here; its client is told."""
_AGAIN = (429, 502, 503, 504)


class _Failed(Exception):
    """One try came to nothing, for a reason that may pass."""

    def __init__(self, error: UpstreamError, wait_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.wait_s = error, wait_s


class UpstreamLink:
    """Sends requests to one server.

    Args:
        serve: its address, its model's name, its key, how many requests at once, and how long it may be silent.
    Raises:
        ConfigError: the address, the key file or the number of its models cannot be used.
        ModelError: something else than such a server answers there.
    """

    def __init__(self, serve: ServeConfig) -> None:
        self.address = check_address(serve.upstream or "", serve.upstream_hosts)
        headers = {"Authorization": f"Bearer {read_key(serve.upstream_key)}"} if serve.upstream_key else {}
        self.breaker = Breaker(self.address, self._start_probe)
        self.model = serve.upstream_model or ""
        """The model's name there; empty until the server has told it."""
        self.busy = 0
        """Answers that are being written now."""
        self.tried_again = 0
        """Tries after the first, so far."""
        self._silent_s = serve.upstream_timeout_s
        self._loop = asyncio.new_event_loop()
        self._probing: asyncio.Task[None] | None = None
        # No redirect and no proxy: either would take images to a host that nobody allowed.
        self._client = httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(serve.upstream_timeout_s, connect=_CONNECT_S, pool=None),
            trust_env=False, follow_redirects=False, limits=httpx.Limits(max_connections=serve.upstream_requests + 1),
        )  # fmt: skip
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstream", daemon=True)
        self._thread.start()
        try:
            self.run(self._look()).result()
        except AssistantError:
            self.close()
            raise

    @property
    def state(self) -> str:
        """Whether it is "up" or "down"."""
        return "down" if self.breaker.is_open else "up"

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin something in the link's thread; cancelling the future ends it there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End every answer that is being written, and the connections."""
        if self._loop.is_closed():
            return
        self.run(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.aclose()

    async def write(self, request: Mapping[str, Any], into: Collected, name: str | None = None) -> None:
        """Have one answer written.

        Args:
            request: as its API takes it, without the model.
            into: takes the answer while it comes.
            name: of the request here, to find it again in the other server's log.
        Raises:
            UpstreamError: there is no answer, or only a part of one.
        """
        headers = {"x-request-id": name, "x-medassist-via": name} if name else {}
        self.busy += 1
        try:
            for pause in (*_WAITS_S, None):
                self.breaker.check()
                try:
                    await self._try(dict(request), into, headers)
                except _Failed as failed:
                    wait = failed.wait_s or pause
                    if pause is None or into.told or wait is None or wait > _LONGEST_WAIT_S:
                        raise failed.error from failed
                    into.begin_again()
                    self.tried_again += 1
                    await asyncio.sleep(wait)
                else:
                    return
        finally:
            self.busy -= 1

    async def _try(self, request: dict[str, Any], into: Collected, headers: Mapping[str, str]) -> None:
        sent = {"model": self.model, **request}
        try:
            async with self._client.stream(
                "POST", f"{self.address}/chat/completions", json=sent, headers=dict(headers)
            ) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise self._refusal(response)
                await self._read(response, into)
        except httpx.TimeoutException as error:
            raise self._silent(error) from error
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        except BadEventError as error:
            self.breaker.succeeded()
            raise UpstreamError(
                f"The upstream server {self.address} {error}", status=502, code="upstream_failed"
            ) from error
        self.breaker.succeeded()

    async def _read(self, response: httpx.Response, into: Collected) -> None:
        """Take in one response, as events or whole."""
        if response.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
            whole = await response.aread()
            if len(whole) > MAX_EVENT:
                raise BadEventError(f"sent an answer of more than {MAX_EVENT} bytes.")
            into.take(read_event(whole.decode("utf-8", "replace")))
            return
        ended = False
        async for data in data_of(response.aiter_bytes()):
            if data.strip() == "[DONE]":
                ended = True
                break
            into.take(read_event(data))
            if into.over:
                return
        if not (ended or into.reason):
            raise BadEventError("ended its answer too early. Ask again.")

    def _refusal(self, response: httpx.Response) -> Exception:
        """Return what to tell of a refusal; its own words may quote the question, so only its code is passed on."""
        status = response.status_code
        try:
            told = response.json()["error"]
            code = str(told.get("code") or told.get("type") or "")[:60]
        except (ValueError, KeyError, TypeError, AttributeError):
            code = ""
        logger.warning("the upstream server refused with status %d %s", status, code)
        text = (
            f"The upstream server {self.address} refused with status {status}{f' ({code})' if code else ''}. "
            "See its log."
        )
        if status in _AGAIN:
            wait = _seconds(response.headers.get("retry-after"))
            if status in (502, 504):
                self.breaker.failed(f"status {status}")
            return _Failed(UpstreamError(text, status=503, code="upstream_busy", retry_after_s=wait or 5.0), wait)
        if status >= 500:
            self.breaker.failed(f"status {status}")
        else:
            self.breaker.succeeded()
        return UpstreamError(text, status=502, code="upstream_refused")

    def _silent(self, error: httpx.TimeoutException) -> Exception:
        if isinstance(error, httpx.ConnectTimeout):
            return self._lost(error)
        # Not tried again: a server that is late gets no more to do.
        self.breaker.failed("it is silent")
        return UpstreamError(
            f"The upstream server {self.address} has been silent for {self._silent_s} s. Ask again later, or allow it "
            "more time: serve.upstream_timeout_s.",
            status=504, code="upstream_timeout",
        )  # fmt: skip

    def _lost(self, error: httpx.HTTPError) -> _Failed:
        why = type(error).__name__
        self.breaker.failed(why)
        return _Failed(
            UpstreamError(
                f"The upstream server {self.address} does not answer ({why}). Start it, or check --upstream.",
                status=503,
                code="upstream_unavailable",
                retry_after_s=FIRST_PROBE_S,
            )  # fmt: skip
        )

    async def _look(self) -> None:
        """See whether the server is there, and which model it has; one that is not there yet is probed for."""
        try:
            response = await self._client.get(f"{self.address}/models", timeout=_PROBE)
        except httpx.HTTPError as error:
            logger.warning("the upstream server %s does not answer yet (%s)", self.address, type(error).__name__)
            self.breaker.failed(type(error).__name__, surely=True)
            return
        # A server that fails to list its models may write all the same; a proxy whose server is away says one of these.
        if response.status_code in (502, 503, 504):
            self.breaker.failed(f"status {response.status_code}", surely=True)
            return
        self.model = self.model or self._only(response)
        self.breaker.succeeded()

    def _only(self, response: httpx.Response) -> str:
        try:
            names = [str(one["id"]) for one in response.json()["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{self.address}/models (status {response.status_code}) lists no models. Is that the address of an "
                "OpenAI-style server, with its /v1?"
            ) from error
        if len(names) != 1:
            raise ConfigError(f"{self.address} serves {len(names)} models; name one with --upstream-model.")
        return names[0]

    def _start_probe(self) -> None:
        def start() -> None:
            self._probing = self._loop.create_task(self._probe())  # kept: the loop itself would forget it

        self._loop.call_soon_threadsafe(start)

    async def _probe(self) -> None:
        """Look for the server, less and less often, until it is up."""
        wait = FIRST_PROBE_S
        while self.breaker.is_open:
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_PROBE_S)
            self.breaker.probed_in(wait)
            try:
                await self._look()
            except AssistantError as error:
                logger.error("%s", error)  # it is there, and cannot be used: a person has to mend it
                self.breaker.failed("it cannot be used; the log says why", surely=True)
        logger.warning("the upstream server %s answers", self.address)


def _seconds(told: str | None) -> float | None:
    return float(told) if told is not None and told.isdigit() else None
