"""`keys` and `users`: who may use the API and the page."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from assistant.access import read_entries, remove_entry
from assistant.errors import ConfigError

_WHAT = {"keys": "key file", "users": "login file"}


def run_access(kind: str, action: str, path: Path, name: str | None) -> int:
    """Add, remove or list who is in a file.

    Args:
        kind: "keys" or "users".
        action: "add", "remove" or "list".
        path: of the file.
        name: whom; not for "list".
    Returns:
        0.
    Raises:
        ConfigError: the file, the name or the password cannot be used.
    """
    make = f"python app.py {kind} add {path} NAME"
    if action == "list":
        for entry in read_entries(path, what=_WHAT[kind], make=make):
            sys.stdout.write(entry + "\n")
        return 0
    if name is None:
        raise ConfigError(f"{kind} {action} needs a name: python app.py {kind} {action} {path} NAME")
    if action == "remove":
        remove_entry(path, name, what=_WHAT[kind], make=make)
    elif kind == "keys":
        from assistant.serve.keys import add_key

        key = add_key(path, name)
        sys.stderr.write("The key is shown this once; only its hash is kept:\n")
        sys.stdout.write(key + "\n")
    else:
        from assistant.ui.login import add_user

        add_user(path, name, _password())
    return 0


def _password() -> str:
    """Ask for a password twice, or read it from a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Again: "):
        raise ConfigError("The two passwords differ. Nothing was changed; try again.")
    return first
