"""Plain mappings (from YAML or a command line) into frozen dataclasses, with every mistake named at once."""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from assistant.errors import ConfigError

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Make `cls` from `values`; nested dataclasses are made from nested mappings.

    Args:
        cls: a dataclass with annotated fields of int, float, str, bool, Path, tuple, dict, dataclass or X | None.
        values: keys are field names.
        where: what is being read, for messages: a file's path or a command.
    Returns:
        The dataclass, its own checks passed.
    Raises:
        ConfigError: lists every unknown key, missing key, wrong type and refused value.
    """
    made, faults = attempt(cls, values)
    if faults:
        raise ConfigError(f"{where} has {len(faults)} mistake(s):\n" + "\n".join(f"  - {fault}" for fault in faults))
    return typing.cast(T, made)


def attempt(cls: type[T], values: Mapping[str, Any]) -> tuple[T | None, list[str]]:
    """Make `cls` from `values` as `build` does, and leave the mistakes to the caller.

    Args:
        cls: as for `build`.
        values: as for `build`.
    Returns:
        The dataclass, None where there are mistakes; and the mistakes, one line each.
    """
    faults: list[str] = []
    return _dataclass(cls, values, "", faults), faults


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Args:
        path: the file.
    Returns:
        Its keys and values; nothing for an empty file.
    Raises:
        ConfigError: the file is missing, is not YAML, or holds something other than a mapping.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}). Give the path of a YAML file.") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__} at the top; it takes `key: value` lines.")
    return values


def override(values: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return `values` with `a.b=c` assignments applied; the right side is read as YAML.

    Args:
        values: left as they are.
        assignments: applied in order.
    Returns:
        A deep copy with the changes.
    Raises:
        ConfigError: an assignment has no "=", or goes through something that is no mapping.
    """
    import copy

    import yaml

    result = copy.deepcopy(values)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise ConfigError(f"--set {assignment!r} has no key or no '='; write --set optimizer.lr=1e-3.")
        keys = path.split(".")
        here = result
        for key in keys[:-1]:
            step = here.setdefault(key, {})
            if not isinstance(step, dict):
                raise ConfigError(f"--set {assignment!r}: {key!r} is {step!r}, which has no parts to set.")
            here = step
        here[keys[-1]] = yaml.safe_load(text)
    return result


def _dataclass(cls: type[Any], values: Mapping[str, Any], prefix: str, faults: list[str]) -> Any:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(fields)}."
            faults.append(f"{prefix}{key}: unknown key; {hint}")
    made: dict[str, Any] = {}
    replaced: set[str] = set()
    for name, field in fields.items():
        before = len(faults)
        if name in values:
            made[name] = _convert(hints[name], values[name], f"{prefix}{name}", faults)
        elif _has_no_default(field):
            faults.append(f"{prefix}{name}: missing; it has no default.")
        if len(faults) > before:
            made[name] = _stand_in(field, hints[name])
            replaced.add(name)
    return _checked(cls, made, {name: (fields[name], hints[name]) for name in fields}, replaced, prefix, faults)


def _checked(
    cls: type[Any],
    made: dict[str, Any],
    known: Mapping[str, tuple[dataclasses.Field[Any], Any]],
    replaced: set[str],
    prefix: str,
    faults: list[str],
) -> Any:
    """Let a class check its own values until nothing more is found: a value that it refuses gives way to a stand-in.

    Args:
        cls: the class.
        made: its values, of which some may be stand-ins already.
        known: field and type of every value.
        replaced: names of the stand-ins. What is said of these is nobody's mistake, and is left out.
        prefix: of names in messages.
        faults: what is found is added here.
    Returns:
        The object; None where anything in it was refused.
    """
    while True:
        try:
            result = cls(**made)
        except (ConfigError, ValueError) as error:
            words = set(re.findall(r"\w+", str(error)))
            if not words & replaced:
                faults.append(f"{prefix.rstrip('.') or 'value'}: {error}")
            # A message begins with the name of what it refuses.
            subject = re.split(r" (?:is|has) ", str(error))[0]
            named = [word for word in re.findall(r"\w+", subject) if word in known]
            if not named or named[-1] in replaced:
                return None
            replaced.add(named[-1])
            made[named[-1]] = _stand_in(*known[named[-1]])
        else:
            return None if replaced else result


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _stand_in(field: dataclasses.Field[Any], kind: Any) -> Any:
    """Return a value that lets the rest be checked: the default, or one of the right form."""
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else _example(kind)


def _example(kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _example(arguments[0])
    if origin is typing.Literal:
        return arguments[0]
    if origin is tuple:
        return (_example(arguments[0]),)
    if origin is dict:
        return {}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        needed = [one for one in dataclasses.fields(kind) if one.init and _has_no_default(one)]
        return kind(**{one.name: _example(hints[one.name]) for one in needed})
    return kind(1) if kind in (int, float) else kind("-") if kind in (str, Path) else None


def _convert(kind: Any, value: Any, name: str, faults: list[str]) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(one for one in arguments if one is not type(None)), value, name, faults)
    if origin is typing.Literal:
        if value not in arguments:
            faults.append(f"{name}: {value!r} is none of {', '.join(map(repr, arguments))}.")
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            faults.append(f"{name}: {value!r} is no mapping; write `{name}:` with keys below it.")
            return None
        return _dataclass(kind, value, f"{name}.", faults)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            faults.append(f"{name}: {value!r} is no list; write [a, b].")
            return None
        return tuple(_convert(arguments[0], item, f"{name}[{i}]", faults) for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            faults.append(f"{name}: {value!r} is no mapping; write `{name}:` with keys below it.")
            return None
        return {str(key): _convert(arguments[1], item, f"{name}.{key}", faults) for key, item in value.items()}
    return _scalar(kind, value, name, faults)


def _scalar(kind: Any, value: Any, name: str, faults: list[str]) -> Any:
    if kind is Path and isinstance(value, (str, Path)):
        return Path(value)
    if kind is float and not isinstance(value, bool):
        # YAML 1.1 reads 1e-3 as text, because it has no dot.
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    faults.append(f"{name}: {value!r} is a {type(value).__name__}; it takes {kind.__name__}.")
    return None
