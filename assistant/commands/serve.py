"""`serve`: the API, and the page beside it, in one process with one model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.choice import others_of
from assistant.commands.opened import Opener
from assistant.config import LOOPBACK, AssistantConfig
from assistant.errors import ConfigError
from assistant.imaging.identity import state_folder
from assistant.template_files import load_templates
from assistant.ui.login import Login, plain_passwords, read_login
from assistant.ui.server import serve

if TYPE_CHECKING:
    from fastapi import FastAPI


OPEN_ADDRESS = (
    "Listening on {host}: others on the network can reach it, over plain HTTP. "
    "Put a TLS proxy in front of it where patients' images are sent."
)


def run_serve(config: AssistantConfig, open_assistant: Opener) -> int:
    """Serve until it is interrupted; the model loads meanwhile.

    Args:
        config: where to listen, which model and index, who may come in.
        open_assistant: loads model and index.
    Returns:
        0 once it was ended.
    Raises:
        ConfigError: a file or the port cannot be used, or others could reach the server without a key.
    """
    settings, loopback = config.serve, config.host in LOOPBACK
    if not loopback and settings.keys is None:
        raise ConfigError(
            f"host is {config.host}, which other machines can reach, and no API keys are set. Make one with "
            "`python app.py keys add FILE NAME` and give --keys FILE, or use 127.0.0.1."
        )
    _check_upstream(config)
    others = others_of(config, open_assistant)
    login = _login(config)
    if not loopback:
        _tell(OPEN_ADDRESS.format(host=config.host))
    # Everything that a mistake could be in is opened before the libraries are loaded, which takes seconds.
    from assistant.feedback.desk import open_desk
    from assistant.serve.audit import AuditLog
    from assistant.serve.calls import Calls
    from assistant.serve.engine import QueuedService
    from assistant.serve.keys import KeyRing
    from assistant.serve.metrics import Metrics

    keys = KeyRing(Path(settings.keys).expanduser()) if settings.keys else None
    audit = AuditLog(Path(settings.audit).expanduser() if settings.audit else state_folder() / "audit.jsonl")
    calls = Calls(audit, Metrics())
    desk = open_desk(config.feedback, config.feedback_days, calls.note_feedback)
    service = QueuedService(
        lambda: open_assistant(config), settings, calls, batch_size=config.generation.batch_size, feedback=desk,
        others=others,
    )  # fmt: skip
    service.templates = load_templates(config.templates)

    def api(app: FastAPI) -> tuple[str, ...]:
        from assistant.serve.routes import OPENED, add_api

        add_api(app, service, keys)
        return OPENED

    _tell(f"Who asks when is noted in {audit.path}.")
    try:
        serve(
            service, host=config.host, port=config.port, login=login, loopback=loopback, api=api, page=settings.page,
            noted=lambda what, who, outcome: calls.note(what, who, outcome=outcome),
        )  # fmt: skip
    finally:
        service.close()
        audit.close()
        if desk is not None:
            desk.store.close()
    return 0


def _check_upstream(config: AssistantConfig) -> None:
    """Refuse a writer on a host that nobody allowed."""
    if config.serve.upstream:
        from assistant.serve.upstream_address import check_address

        check_address(config.serve.upstream, config.serve.upstream_hosts)


def _login(config: AssistantConfig) -> Login | None:
    """Read who may see the page."""
    if not config.login or not config.serve.page:
        return None
    path = Path(config.login).expanduser()
    login = read_login(path)
    if plain_passwords(path):
        _tell(f"{config.login} holds passwords as they are. Keep hashes instead: python app.py users add FILE NAME")
    return login


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
