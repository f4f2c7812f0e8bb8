"""`Others`: the models that stand beside `--model`, by the names they are asked for, checked before any is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from assistant.commands.opened import Opened, Opener
from assistant.errors import AssistantError, ConfigError

if TYPE_CHECKING:
    from assistant.config import AssistantConfig


@dataclass(frozen=True)
class About:
    """What is known of a model before it is loaded."""

    title: str
    """Its own name, from its contract."""
    encoder: str
    """Fingerprint of the encoder."""
    dimensions: int
    """Width of the joint space."""
    adapter: bool
    """Whether its folder holds an adapter, and the weights lie elsewhere."""


@dataclass(frozen=True)
class Others:
    """The models that may be chosen, and how many may be in memory."""

    main: str
    """Name of the first model."""
    loads: Mapping[str, Callable[[], Opened]]
    """How to load each of the others, by name."""
    about: Mapping[str, About]
    """Of all of them, the first by its own name too."""
    most: int


def others_of(config: AssistantConfig, open_assistant: Opener) -> Others | None:
    """Return the models that the settings name beside the first, each looked at.

    Args:
        config: `also`, `also_index` and `max_loaded`.
        open_assistant: loads what a configuration names.
    Returns:
        None where there are none.
    Raises:
        ConfigError: lists every model that is not there or not whole, and every name that is taken.
    """
    if not config.also:
        return None
    if config.serve.upstream:
        raise ConfigError("also and serve.upstream are both set, but all text is written there. Drop one of them.")
    wanted = {"": config.model, **config.also}
    about: dict[str, About] = {}
    faults: list[str] = []
    for name, model in wanted.items():
        try:
            found = peek(model)
        except AssistantError as error:
            faults.append(f"{name or 'model'}: {error}")
            continue
        key = name or found.title
        if key in about:
            faults.append(f"{key} is the first model's own name; give the other one another: --also NAME={model}")
        about[key] = found
    if faults:
        raise ConfigError("These models cannot be served:\n" + "\n".join(f"  - {fault}" for fault in faults))
    loads = {name: _loader(name, settings_of(config, name), open_assistant) for name in config.also}
    return Others(next(iter(about)), loads, about, config.max_loaded)


def settings_of(config: AssistantConfig, name: str) -> AssistantConfig:
    """Return the settings that one of the other models is loaded with.

    Args:
        config: names it in `also`.
        name: its name.
    Returns:
        The same settings with that model, its index, and no others.
    """
    index = config.also_index.get(name, config.index)
    return replace(config, model=config.also[name], index=index, also={}, also_index={})


def _loader(name: str, config: AssistantConfig, open_assistant: Opener) -> Callable[[], Opened]:
    """Return what loads a model, called as it is asked for: two adapters may have one name of their own."""
    return lambda: replace(open_assistant(config), model_name=name)


def peek(model: str) -> About:
    """Look at a model's folder, without its weights.

    Args:
        model: `starter`, a model folder or an adapter folder.
    Returns:
        What its contract says.
    Raises:
        AssistantError: it is not there, a file is missing, or an adapter's base is not the one it was made on.
    """
    from assistant.model.load import look_at

    _, base, contract = look_at(model)
    return About(contract.name, contract.encoder, contract.embedding_dim, base is not None)
