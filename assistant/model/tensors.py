"""Safetensors files: read with a clear error, listed without reading, and hashed to short fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_WHOLE_FILE_LIMIT = 256 * 2**20
_SAMPLE = 2**20


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the header of a safetensors file, and nothing else.

    Args:
        path: the file.
    Returns:
        each tensor's name and shape.
    Raises:
        ModelError: the file is missing, cut short, longer than its header says, or not safetensors.
    """
    mend = "Copy or download the file again."
    if not path.is_file():
        raise ModelError(f"{path} is missing. {mend}")
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length < 2 or length > size - 8:
            raise ModelError(f"{path} ({size} bytes) is truncated or no safetensors file. {mend}")
        try:
            header = json.loads(stream.read(length))
        except ValueError as error:
            raise ModelError(f"{path} has a broken safetensors header ({error}). {mend}") from error
    header.pop("__metadata__", None)
    end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    if 8 + length + end != size:
        raise ModelError(f"{path} is {size} bytes but its header promises {8 + length + end}: it is truncated. {mend}")
    return {name: tuple(int(side) for side in entry["shape"]) for name, entry in header.items()}


def stored_dtype(path: Path) -> str:
    """Return "bfloat16" if every number in a safetensors file is that, else "float32"."""
    read_header(path)
    with path.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    header.pop("__metadata__", None)
    return "bfloat16" if {entry["dtype"] for entry in header.values()} == {"BF16"} else "float32"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a safetensors file onto the CPU.

    Args:
        path: the file.
    Returns:
        tensors by name.
    Raises:
        ModelError: as `read_header`.
    """
    from safetensors.torch import load_file

    read_header(path)
    return load_file(path)


def tensor_fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return 16 hexadecimal digits that identify named tensors.

    Values are rounded to bfloat16 first, so that a float32 model and its bfloat16 copy have one fingerprint.
    """
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().to(device="cpu", dtype=torch.bfloat16).contiguous()
        digest.update(f"{name}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.view(torch.int16).numpy().tobytes() if tensor.ndim else bytes(str(float(tensor)), "ascii"))
    return digest.hexdigest()[:16]


def text_fingerprint(text: str) -> str:
    """Return 16 hexadecimal digits that identify a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files_fingerprint(folder: Path, names: list[str]) -> str:
    """Identify files of a folder by their content.

    Files up to 256 MiB are hashed whole. Of a larger one: its size, its first MiB (the safetensors header lies
    there), and a MiB from each sixteenth of it, so that a 15 GB model is identified in well under a second.

    Args:
        folder: where they lie.
        names: file names relative to it; order does not matter.
    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        path = folder / name
        size = path.stat().st_size
        digest.update(f"{name}:{size};".encode())
        with path.open("rb") as stream:
            if size <= _WHOLE_FILE_LIMIT:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
                continue
            for step in range(17):
                stream.seek(min(step * (size // 16), size - _SAMPLE))
                digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()[:16]
