"""Uploads: each file in a folder of its own, so that deleting one person's never deletes another's equal one.

The page's library puts equal files in one place, named by their content. There a question of one visitor, which deletes
its files, took another's copy with it, and an upload equal to a shipped example took the example's picture.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

logger = logging.getLogger(__name__)

ROUTE = "/gradio_api/upload"
FOLDER = "uploads"


def upload_root() -> Path:
    """Return the folder that holds one folder an upload."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio").resolve() / FOLDER


def add_upload_route(
    app: FastAPI, *, most: int | None, taken: Callable[[list[str]], None] = lambda paths: None
) -> None:
    """Take the page's uploads before its library does; to be called before the page is mounted.

    Args:
        app: that the page will be mounted in.
        most: bytes of one file; None sets no limit.
        taken: told the paths of what was uploaded.
    """
    from fastapi import HTTPException
    from fastapi.responses import JSONResponse, PlainTextResponse
    from gradio.route_utils import upload_fn
    from gradio.routes import file_upload_statuses
    from starlette.formparsers import MultiPartException
    from starlette.routing import Route

    async def upload(request: Request) -> JSONResponse | PlainTextResponse:
        folder, name = upload_root() / uuid4().hex, request.query_params.get("upload_id")
        kept = False
        try:
            files, *_ = await upload_fn(
                request, str(folder), most or math.inf, name,
                upload_progress=file_upload_statuses if name else None,
            )  # fmt: skip
        except MultiPartException as error:
            code = 413 if "maximum allowed size" in error.message else 400
            return PlainTextResponse(error.message, status_code=code)
        except HTTPException as error:
            return PlainTextResponse(str(error.detail), status_code=error.status_code)
        else:
            kept = True
        finally:
            if not kept:  # too large, broken, or the visitor left: no part of it stays
                shutil.rmtree(folder, ignore_errors=True)
        paths = [str(path) for path in files]
        taken(paths)
        return JSONResponse(paths)

    app.router.routes.append(Route(ROUTE, upload, methods=["POST"]))


def forget(paths: Sequence[str]) -> None:
    """Delete uploaded files, with the folders made for them.

    Args:
        paths: what lies elsewhere is left alone: a shipped example is no upload.
    """
    root = upload_root()
    for path in map(Path, paths):
        if root not in path.resolve().parents:
            continue
        try:
            path.unlink(missing_ok=True)
            for folder in path.resolve().parents:
                if folder == root or any(folder.iterdir()):
                    break
                folder.rmdir()
        except OSError as error:
            logger.warning("an uploaded file could not be deleted: %s", error.strerror)
