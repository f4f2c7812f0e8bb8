"""`Gate`: what stands before the API. Decides on each request before its body is read."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, MutableMapping
from typing import TYPE_CHECKING, Any

from assistant.serve.errors import ApiError, as_api_error
from assistant.serve.keys import KeyRing
from assistant.serve.metrics import Metrics
from assistant.serve.settings import ServeConfig

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENT = "medassist.client"
"""Key of the scope under which the routes find who asks."""
LOCAL = "local"
"""Who asks where no keys are set: somebody on this machine."""
GUARDED = ("/v1", "/metrics")


class Allowance:
    """Counts requests of each client over the last minute.

    Args:
        a_minute: most requests; 0 sets no limit.
        clock: seconds; another one for tests.
    """

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute, self._clock = a_minute, clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Count one request.

        Args:
            client: whose.
        Returns:
            0 if it may go on, else the seconds until the next may.
        """
        if not self._a_minute:
            return 0.0
        now = self._clock()
        with self._lock:
            left, then = self._left.pop(client, (float(self._a_minute), now))
            left = min(float(self._a_minute), left + (now - then) * self._a_minute / 60)
            taken = left >= 1
            self._left[client] = (left - 1 if taken else left, now)
            while len(self._left) > 10_000:
                self._left.popitem(last=False)
            return 0.0 if taken else (1 - left) * 60 / self._a_minute


class Gate:
    """ASGI middleware before the API's routes.

    Args:
        app: the routes.
        settings: limits.
        keys: who may ask; None lets everyone on this machine.
        metrics: counts what is refused.
        room: raises Busy when a client's request would not be taken.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ServeConfig,
        keys: KeyRing | None,
        metrics: Metrics,
        room: Callable[[str], None],
    ) -> None:
        self._app, self._keys, self._metrics, self._room = app, keys, metrics, room
        self._most, self._longest_s = settings.max_body_mb * 1_000_000, settings.timeout_s
        self._allowance = Allowance(settings.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request here, or pass it on with its client's name."""
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            scope[CLIENT] = self._admit(scope, headers)
            content = await self._in_time(self._body(scope, headers, receive))
        except Exception as error:
            told = as_api_error(error)
            self._metrics.refused.labels(told.code).inc()
            # What is left of the body must not be read on and on.
            told.headers.update({"Connection": "close"} if scope["method"] == "POST" else {})
            await told.response()(scope, receive, send)
            return
        await self._app(scope, _replayed(content, receive), self._counted(scope, send))

    def _admit(self, scope: Scope, headers: dict[str, str]) -> str:
        client = LOCAL
        if self._keys is not None:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            found = self._keys.name_of(key.strip()) if scheme.lower() == "bearer" and key.strip() else None
            if found is None:
                raise ApiError(
                    401, "The API key is missing or not known. Send the header Authorization: Bearer KEY.",
                    code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"},
                )  # fmt: skip
            client = found
        wait = self._allowance.take(client) if scope["path"].startswith("/v1") else 0.0
        if wait > 0:
            raise ApiError(
                429, f"Too many requests a minute. Try again in {max(1, round(wait))} s.", code="rate_limit_exceeded",
                headers={"Retry-After": str(int(wait) + 1)},
            )  # fmt: skip
        return client

    async def _body(self, scope: Scope, headers: dict[str, str], receive: Receive) -> bytes:
        """Read a body that is neither too large nor of another kind, for a client who has room in the queue."""
        if scope["method"] != "POST":
            return b""
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "Send JSON, with the header Content-Type: application/json.", code="unsupported_media")
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._most:
            raise self._too_large()
        self._room(scope[CLIENT])
        content = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ApiError(400, "The request ended before its body did.", code="incomplete_body")
            content.extend(message.get("body", b""))
            more = message.get("more_body", False)
            if len(content) > self._most:
                raise self._too_large()
        return bytes(content)

    async def _in_time(self, reading: Coroutine[Any, Any, bytes]) -> bytes:
        """End a body that comes in drops, which would hold its memory and its place for ever."""
        try:
            async with asyncio.timeout(self._longest_s):
                return await reading
        except TimeoutError:
            raise ApiError(408, f"The body of the request did not come within {self._longest_s} s. Send it again.",
                           code="request_timeout") from None  # fmt: skip

    def _too_large(self) -> ApiError:
        return ApiError(
            413, f"The request is larger than {self._most // 1_000_000} MB. Send fewer or smaller images.",
            code="request_too_large",
        )  # fmt: skip

    def _counted(self, scope: Scope, send: Send) -> Send:
        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                name = getattr(route, "path", "other")
                self._metrics.requests.labels(name, str(message["status"])).inc()
            await send(message)

        return counted


def _replayed(content: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
