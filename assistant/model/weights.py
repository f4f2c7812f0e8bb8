"""The tensors of loaded models: a tree of modules around the same ones, and how much memory they take."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from assistant.model.loaded import LoadedModel

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T", bound="nn.Module")


def same_weights(module: T) -> T:
    """Return a tree of modules like this one, every tensor of which is the same.

    Args:
        module: stays as it is.
    Returns:
        A tree that can be wrapped and put into a mode without touching the other.
    """
    memo: dict[int, Any] = {id(one): one for one in _tensors(module)}
    return copy.deepcopy(module, memo)


def own_bytes(model: LoadedModel) -> int:
    """Return how many bytes of tensors a model holds that its base does not."""
    shared = _storages(model.base) if model.base is not None else {}
    return sum(size for place, size in _storages(model).items() if place not in shared)


def all_bytes(models: Iterable[LoadedModel]) -> int:
    """Return how many bytes of tensors some models hold together, bases included, what is shared counted once."""
    found: dict[int, int] = {}
    for model in models:
        found |= _storages(model) | ({} if model.base is None else _storages(model.base))
    return sum(found.values())


def _storages(model: LoadedModel) -> dict[int, int]:
    """Return the place and size of each piece of memory that a model's tensors lie in."""
    modules = [model.llava, model.text.bert]
    tensors = [*(one for module in modules for one in _tensors(module)), *model.text.head, model.projection]
    found = [one.untyped_storage() for one in tensors]
    return {one.data_ptr(): one.nbytes() for one in found}


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Yield parameters, buffers, and what quantized layers keep beside them."""
    import torch

    yield from module.parameters()
    yield from module.buffers()
    for layer in module.modules():
        for value in list(vars(layer).values()):
            if isinstance(value, torch.Tensor):
                yield value
            elif type(value).__name__ in ("MatmulLtState", "QuantState"):
                yield from (one for one in vars(value).values() if isinstance(one, torch.Tensor))
