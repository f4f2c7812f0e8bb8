"""The options that name the models beside `--model`; nothing but `argparse` is imported here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from assistant.errors import ConfigError


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the models beside `--model`."""
    parser.add_argument(
        "--also", "--adapter", action="append", default=[], type=named, dest="also", metavar="NAME=FOLDER",
        help="one more model or adapter that may be chosen, by page and API; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--also-index",
        action="append",
        default=[],
        type=named,
        metavar="NAME=I",
        help="index of one of them, as --index",
    )
    parser.add_argument("--max-loaded", type=int, metavar="N", help="most models in memory at once (default: 2)")


def named(text: str) -> tuple[str, str]:
    """Read NAME=VALUE; a folder alone is named by its last part."""
    name, equals, value = text.partition("=")
    return (name.strip(), value) if equals else (Path(text).name, text)


def model_values(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of the settings that `add_model_options` sets.

    Args:
        args: of any command.
    Returns:
        What was given.
    Raises:
        ConfigError: a name is given twice.
    """
    values: dict[str, Any] = {}
    for option, pairs in (("also", getattr(args, "also", [])), ("also_index", getattr(args, "also_index", []))):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(
                f"--{option.replace('_', '-')} names {', '.join(twice)} twice. Give each a name of its own."
            )
        if pairs:
            values[option] = dict(pairs)
    most = getattr(args, "max_loaded", None)
    return {**values, **({} if most is None else {"max_loaded": most})}
