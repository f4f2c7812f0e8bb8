"""`chat`: the page in the browser."""

from __future__ import annotations

import sys
from pathlib import Path

from assistant.choice import others_of
from assistant.commands.opened import Opener
from assistant.config import LOOPBACK, AssistantConfig
from assistant.errors import ConfigError
from assistant.template_files import load_templates
from assistant.ui.login import read_login
from assistant.ui.server import serve
from assistant.ui.service import AssistantService


def run_chat(config: AssistantConfig, open_assistant: Opener) -> int:
    """Serve the page until it is interrupted; the model loads meanwhile.

    Args:
        config: where to listen, which model and index. It refuses a host beyond this machine without a login.
        open_assistant: loads model and index.
    Returns:
        0 once it was ended.
    Raises:
        ConfigError: the login file or the port cannot be used.
    """
    login = read_login(Path(config.login).expanduser()) if config.login else None
    loopback = config.host in LOOPBACK
    if not loopback and login is None:
        raise ConfigError(f"host is {config.host}, which other machines can reach; set login, or use 127.0.0.1.")
    others = others_of(config, open_assistant)
    if not loopback:
        sys.stderr.write(
            f"Listening on {config.host}: others on the network can reach this page, over plain HTTP. "
            "Put a TLS proxy in front of it where patients' images are sent.\n"
        )
    from assistant.feedback.desk import open_desk

    serve(
        AssistantService(
            lambda: open_assistant(config), load_templates(config.templates),
            open_desk(config.feedback, config.feedback_days), others,
        ),
        host=config.host, port=config.port, login=login, loopback=loopback,
    )  # fmt: skip
    return 0
