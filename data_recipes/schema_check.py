"""Checks that schema and manifest share. Each gives a fault in words that name field, value and mend, or None."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

ROLES: tuple[str, ...] = ("system", "user", "assistant")


def image_name_fault(name: object) -> str | None:
    """Say why `name` is no relative image path that stays inside its folder; None when it is one."""
    if not isinstance(name, str) or not name.strip():
        return f"image path is {show(name)}; give a path relative to the data file."
    if "\\" in name or name.startswith(("/", "~")) or name[1:2] == ":":
        return f"image path is {show(name)}; give it relative to the data file, with forward slashes."
    if ".." in PurePosixPath(name).parts:
        return f"image path is {show(name)}, which leaves the folder; keep images beside the data file."
    return None


def messages_fault(messages: object, last_role: str) -> str | None:
    """Say why `messages` is no dialogue of user and assistant in turn that ends with `last_role`."""
    if not isinstance(messages, list) or not messages:
        return f"field 'messages' is {show(messages)}; it takes a list of role and content."
    expected = "user"
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            return f"field 'messages[{number}]' is {show(message)}; it takes an object with role and content."
        role = message["role"]
        if role not in ROLES:
            return f"field 'messages[{number}].role' is {show(role)}; use one of {', '.join(ROLES)}."
        if fault := text_fault(f"messages[{number}].content", message["content"]):
            return fault
        if role == "system" and number == 0:
            continue
        if role != expected:
            return f"field 'messages[{number}].role' is {show(role)}; here stands the {expected}: they take turns."
        expected = "assistant" if role == "user" else "user"
    if messages[-1]["role"] != last_role:
        return f"field 'messages' ends with the {messages[-1]['role']}; it must end with the {last_role}."
    return None


def text_fault(name: str, value: object) -> str | None:
    """Say why the field `name` does not hold a text."""
    if not isinstance(value, str) or not value.strip():
        return f"field {name!r} is {show(value)}; give a text that is not empty."
    return None


def show(value: object) -> str:
    """Return `value` as JSON would write it, cut to 80 characters."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 80 else text[:77] + "..."
