"""Serves the page on this machine, with the headers that keep it to itself."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ConfigError
from assistant.ui.login import Login
from assistant.ui.service import AssistantService

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI, Request
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"]
MAX_UPLOAD = 512 * 1024**2
"""Bytes of one uploaded file."""

# img-src: a model's answer, or a passage, may hold Markdown for an image of a far host; the browser must not fetch it.
SECURITY_HEADERS: dict[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
        "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; worker-src 'self' blob:; "
        "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


KEPT = ("/assets/", "/static/", "/gradio_api/assets/", "/gradio_api/static/")
"""The page's own scripts and styles: all that a browser may keep, for everything else may show a patient."""


class SecurityHeaders:
    """ASGI middleware that adds `SECURITY_HEADERS` to every response, streamed ones too, and keeps caches empty."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to what comes back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
                own = message.get("headers", ())
                if not scope["path"].startswith(KEPT):
                    own = [one for one in own if one[0].lower() not in (b"cache-control", b"etag", b"last-modified")]
                    extra.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*own, *extra]}
            await send(message)

        await self.app(scope, receive, send_with_headers)


def build_app(
    service: AssistantService,
    *,
    login: Login | None = None,
    loopback: bool = True,
    api: Callable[[FastAPI], tuple[str, ...]] | None = None,
    page: bool = True,
    noted: Callable[[str, str, str], None] = lambda what, who, outcome: None,
) -> FastAPI:
    """Return the web application: the page at `/`, `/healthz`, and the API where there is one.

    Args:
        service: answers and drafts; loading begins when the application starts.
        login: who may see the page; None lets everyone.
        loopback: answer requests for this machine's own names only, which stops a foreign site from reaching
            the page through a name that it points here.
        api: adds the API's routes; returns the beginnings of their paths.
        page: whether there is a page.
        noted: told of every try to sign in.
    Returns:
        An application for any ASGI server.
    """
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from assistant.ui.visits import Visits
    from assistant.ui.wall import Wall

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield

    app = FastAPI(title="medassist", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok", **service.health()}

    visits = Visits()
    opened = ("/healthz", *(api(app) if api is not None else ()))
    if page:
        # The middleware that is added last is the first to see a request.
        app.add_middleware(Wall, login=login, visits=visits, opened=opened, noted=noted)
        _mount_page(app, service, login)
        visits.publish(Path(os.environ.get("GRADIO_TEMP_DIR", tempfile.gettempdir())))
    if loopback:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_NAMES)
    app.add_middleware(SecurityHeaders)
    return app


def _mount_page(app: FastAPI, service: AssistantService, login: Login | None) -> None:
    import gradio as gr

    from assistant.ui.page import build_page
    from assistant.ui.stream import GO_ON
    from assistant.ui.style import CSS, theme
    from assistant.ui.uploads import add_upload_route
    from assistant.ui.wall import USER

    def who(request: Request) -> str | None:
        return request.scope.get(USER)

    built = build_page(service, signed_in=login is not None)
    # What is never asked about is deleted with the library's own files, after a while.
    add_upload_route(app, most=MAX_UPLOAD, taken=built.upload_file_set.update)
    gr.mount_gradio_app(
        app,
        built,
        path="/",
        auth_dependency=who if login is not None else None,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        max_file_size=MAX_UPLOAD,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=CSS,
        head=f"<script>{GO_ON}</script>",
    )


@contextmanager
def private_uploads() -> Iterator[Path]:
    """Give the page a folder for uploads that no other user can read, and delete it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="medassist-"))
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            os.environ.pop("GRADIO_TEMP_DIR", None)
        else:
            os.environ["GRADIO_TEMP_DIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


def listen(host: str, port: int) -> socket.socket:
    """Open the port, before anything slow happens.

    Args:
        host: address or name of this machine.
        port: 0 takes any free one.
    Returns:
        A socket that takes connections.
    Raises:
        ConfigError: the port is taken, or the host is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
        server.listen(128)  # a browser that comes before the page is built waits instead of being refused
    except (OSError, OverflowError) as error:
        server.close()
        raise ConfigError(
            f"The page cannot listen on {host} port {port} ({error}). Try --port 7861, or 0 for any free one."
        ) from error
    return server


def serve(
    service: AssistantService,
    *,
    host: str,
    port: int,
    login: Login | None,
    loopback: bool,
    **options: Any,
) -> None:
    """Serve the page until it is interrupted; to be called in the main thread.

    Args:
        service: answers and drafts.
        host: address to listen on.
        port: 0 takes any free one.
        login: who may see the page.
        loopback: whether `host` is this machine only.
        **options: `api`, `page` and `noted` of `build_app`.
    Raises:
        ConfigError: the port cannot be opened.
    """
    listener = listen(host, port)
    # uvicorn shuts down at these signals and then raises them again: both must pass through the clean-up below.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with private_uploads():
            import uvicorn

            app = build_app(service, login=login, loopback=loopback, **options)
            config = uvicorn.Config(
                app, log_level="error", access_log=False, timeout_graceful_shutdown=2, server_header=False
            )
            shown = f"[{host}]" if ":" in host else host
            where = f"http://{shown}:{listener.getsockname()[1]}"
            api = f" The API is at {where}/v1, its description at {where}/docs." if options.get("api") else ""
            opens = f"Open {where} in a browser." if options.get("page", True) else f"No page is served at {where}."
            sys.stdout.write(f"{opens}{api} Ctrl-C ends it.\n")
            sys.stdout.flush()
            uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        sys.stderr.write("\nEnded; uploads are deleted.\n")
    finally:
        listener.close()
