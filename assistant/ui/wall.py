"""`Wall`: what stands before the page. Who is not signed in goes no further, and who is sees only what is hers.

The page's library checks neither whose a file or an event stream is, nor that a file's address is on this machine: both
are checked here, for every request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from assistant.ui.login import Login, Throttle
from assistant.ui.login_page import login_html
from assistant.ui.visits import Visits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "medassist_session"
USER = "medassist.user"
"""Key of the scope under which the page finds who is signed in."""
NAME_TRIES, ADDRESS_TRIES = 5, 30
"""Tries to sign in within five minutes: for one name wrong ones, from one address any."""
MAX_FORM = 4096
MAX_EVENT = 4_000_000
"""Most bytes of one event of the page; files are sent beforehand, as uploads."""
_FILE = re.compile(r"/(?:file=|file/)(.*)", re.DOTALL)
_ELSEWHERE = re.compile(r"/proxy=|/run-history/")
_EVENT = re.compile(r"/(?:queue/join|queue/data|api/|run/|call/|component_server|heartbeat/|cancel|reset)")
_UPLOAD = re.compile(r"^/(?:gradio_api/)?upload/?$")
_STREAM = re.compile(r"/heartbeat/([^/]+)")

Noted = Callable[[str, str, str], None]


class Wall:
    """ASGI middleware before the page and nothing else.

    Args:
        app: the page, and what else is served.
        login: who may come in; None lets everyone on this machine.
        visits: who is in.
        opened: paths that are not the page's, with all below them; whoever serves them guards them.
        noted: told "login", who and how it went, for the audit log.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        login: Login | None,
        visits: Visits,
        opened: tuple[str, ...] = (),
        noted: Noted = lambda what, who, outcome: None,
    ) -> None:
        self._app, self._login, self._visits, self._noted = app, login, visits, noted
        # Not mere beginnings: the page's library may have a path that begins like one of these.
        self._opened, self._below = frozenset(opened), tuple(f"{one}/" for one in opened)
        self._names, self._addresses = Throttle(NAME_TRIES), Throttle(ADDRESS_TRIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse a request here, or pass it on."""
        path = scope.get("path", "")
        if scope["type"] == "lifespan" or path in self._opened or path.startswith(self._below):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # the page uses none
            return
        request = Request(scope, receive)
        response, replay = await self._judge(request)
        if response is not None:
            await response(scope, receive, send)
        elif _UPLOAD.match(scope["path"]) and USER in scope:
            await self._app(scope, receive, self._watching(scope[USER], send))
        else:
            await self._app(scope, replay or receive, send)

    async def _judge(self, request: Request) -> tuple[Response | None, Receive | None]:
        """Return what to answer instead of the page, or what the page is to read instead of `receive`."""
        path = request.scope["path"].rstrip("/")
        user = None
        if self._login is not None:
            if path in ("/login", "/logout"):
                return await self._door(request, path), None
            user = self._visits.user_of(request.cookies.get(COOKIE))
            if user is None:
                wants_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
                if wants_page:
                    return RedirectResponse("/login", 303), None
                return JSONResponse({"detail": "Sign in first: the visit has ended, or never began."}, 401), None
            request.scope[USER] = user
        found = _FILE.search(request.scope["path"])
        away = _ELSEWHERE.search(request.scope["path"])
        if away or (found is not None and not self._readable(user, found[1])):
            return _refusal("This file is not yours, or not on this machine."), None
        stream = request.query_params.get("session_hash") or _group(_STREAM.search(request.scope["path"]))
        if user is not None and stream and not self._visits.may_listen(user, stream):
            return _refusal("This conversation is not yours."), None
        if request.method == "POST" and _EVENT.search(request.scope["path"]):
            return await self._event(request, user)
        return None, None

    def _readable(self, user: str | None, path: str) -> bool:
        if "://" in path[:16] or path.startswith("//"):
            return False
        return user is None or self._visits.may_read(user, path)

    async def _event(self, request: Request, user: str | None) -> tuple[Response | None, Receive | None]:
        """Check what an event names before the page's library reads, or fetches, any of it."""
        content = await _body(request, MAX_EVENT)
        if content is None:
            return JSONResponse({"detail": f"An event of the page takes {MAX_EVENT} bytes at most."}, 413), None
        try:
            event = json.loads(content or b"{}")
        except ValueError:
            return JSONResponse({"detail": "This is no event of the page: it is not JSON."}, 400), None
        for key, value in _named(event):
            if key == "session_hash" and user is not None and not self._visits.may_listen(user, value):
                return _refusal("This conversation is not yours."), None
            if key == "path" and not self._readable(user, value):
                return _refusal("This file is not yours, or not on this machine."), None
            if key == "url" and not self._own_address(request, user, value):
                return _refusal("This address is not on this machine; send the file itself."), None
        return None, _replayed(content, request.receive)

    def _own_address(self, request: Request, user: str | None, address: str) -> bool:
        parts = urlsplit(address)
        if parts.netloc not in ("", request.headers.get("host", "")) or parts.scheme not in ("", "http", "https"):
            return False
        found = _FILE.search(parts.path)
        return found is not None and self._readable(user, found[1])

    async def _door(self, request: Request, path: str) -> Response:
        """Sign in or out."""
        browser = "text/html" in request.headers.get("accept", "")
        if path == "/logout":
            self._visits.end(request.cookies.get(COOKIE))
            response: Response = RedirectResponse("/login", 303) if browser else JSONResponse({"success": True})
            response.delete_cookie(COOKIE)
            return response
        if request.method != "POST":
            return HTMLResponse(login_html())
        origin = request.headers.get("origin")
        if origin not in (None, "null") and urlsplit(origin or "").netloc != request.headers.get("host", ""):
            return _refusal("Sign in from the page itself.")
        form = parse_qs((await _body(request, MAX_FORM) or b"").decode("utf-8", "replace"))
        name, password = (form.get(key, [""])[0] for key in ("username", "password"))
        return await self._sign_in(request, name.strip(), password, browser)

    async def _sign_in(self, request: Request, name: str, password: str, browser: bool) -> Response:
        from anyio.to_thread import run_sync

        assert self._login is not None
        known, address = name[:64].lower(), request.client.host if request.client else ""
        wait = max(self._names.wait_s(known), self._addresses.wait_s(address))
        if wait > 0:
            text = f"Too many wrong passwords. Try again in {wait / 60:.0f} minutes." if wait > 90 else (
                f"Too many wrong passwords. Try again in {wait:.0f} seconds."
            )  # fmt: skip
            return _told(browser, text, 429, {"Retry-After": str(int(wait) + 1)})
        # Counted before it is checked: many tries at once must not slip past the limit together.
        self._names.failed(known)
        self._addresses.failed(address)
        if not await run_sync(self._login, name, password):
            # What was typed as a name may be a password: it is not written down.
            self._noted("login", "unknown", "refused")
            return _told(browser, "Name or password is wrong.", 401)
        self._names.succeeded(known)
        self._noted("login", name, "accepted")
        response: Response = RedirectResponse("/", 303) if browser else JSONResponse({"success": True})
        response.set_cookie(
            COOKIE, self._visits.begin(name), max_age=int(self._visits.longest_s), httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return response

    def _watching(self, user: str, send: Send) -> Send:
        """Return a `send` that notes whose the files are that an upload's answer names."""
        body = bytearray()

        async def watch(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if not message.get("more_body"):
                    for path in _paths(bytes(body)):
                        self._visits.uploaded(user, path)
            await send(message)

        return watch


def _told(browser: bool, text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    if browser:
        return HTMLResponse(login_html(text), status, headers)
    return JSONResponse({"detail": text}, status, headers)


def _refusal(text: str) -> Response:
    return JSONResponse({"detail": text}, 403)


def _group(found: re.Match[str] | None) -> str | None:
    return found[1] if found else None


def _paths(answer: bytes) -> list[str]:
    try:
        paths = json.loads(answer)
    except ValueError:
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def _named(value: Any) -> Iterator[tuple[str, str]]:
    """Give every string that stands in an event under one of the three keys, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and key in ("path", "url", "session_hash") and inner:
                yield key, inner
            else:
                yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)


async def _body(request: Request, most: int) -> bytes | None:
    """Return a request's body, None if it is longer than `most`."""
    content = bytearray()
    async for part in request.stream():
        content.extend(part)
        if len(content) > most:
            return None
    return bytes(content)


def _replayed(content: bytes, receive: Callable[[], Awaitable[Message]]) -> Receive:
    """Return a `receive` that gives a body that was read already, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
