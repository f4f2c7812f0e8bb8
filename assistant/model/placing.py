"""Where a model goes, and in which numbers: what `load_model`'s options mean on this machine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import ModelError
from assistant.model.folder import weight_files
from assistant.model.tensors import read_header

if TYPE_CHECKING:
    import torch

_BILLION = 1_000_000_000


def place_of(device: str) -> str:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:1` stands for.

    Args:
        device: as asked for.
    Returns:
        `cpu` or `cuda:N`.
    Raises:
        ModelError: there is no such device.
    """
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind = device.split(":")[0]
    if kind not in {"cpu", "cuda"}:
        raise ModelError(f"device is {device!r}; use auto, cpu, cuda or cuda:N.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device is {device!r}, but torch {torch.__version__} sees no GPU. Use --device cpu or auto.")
    return "cuda:0" if device == "cuda" else device


def quantization_of(asked: str | None, usual: str | None, device: str) -> str | None:
    """Return how the language model's linears are held.

    Args:
        asked: `nf4`, `int8`, `none`, or None for the usual.
        usual: what the model's contract says, for a GPU.
        device: where the model goes.
    Returns:
        None for whole numbers.
    Raises:
        ModelError: there is no such way.
    """
    if asked not in (None, "nf4", "int8", "none"):
        raise ModelError(f"quantization is {asked!r}; use nf4, int8 or none.")
    if asked is None:
        return usual if device.startswith("cuda") else None
    return None if asked == "none" else asked


def type_of(dtype: str, device: str, folder: Path) -> torch.dtype:
    """Return the number format of the weights.

    Args:
        dtype: as asked for; `auto` takes what suits the device and the size.
        device: where the model goes.
        folder: of the whole model.
    Returns:
        Torch's name of it.
    Raises:
        ModelError: there is no such format, or it is too slow there.
    """
    import torch

    types = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype == "auto":
        if device.startswith("cuda"):
            return torch.bfloat16
        shapes = [shape for name in weight_files(folder) for shape in read_header(folder / name).values()]
        return torch.bfloat16 if sum(map(math.prod, shapes)) >= _BILLION else torch.float32
    if dtype not in types:
        raise ModelError(f"dtype is {dtype!r}; use auto, {', '.join(types)}.")
    if dtype == "float16" and device == "cpu":
        raise ModelError("dtype is 'float16' on a CPU, which is about 200 times slower than bfloat16. Use bfloat16.")
    return types[dtype]
