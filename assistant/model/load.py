"""Opens a model folder, and refuses one whose parts are missing, broken or do not fit each other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from assistant.errors import ModelError
from assistant.model.contract import CONTRACT_NAME, Contract
from assistant.model.encoding import Encoding, check_encoding, with_encoding
from assistant.model.folder import check_files, weight_files
from assistant.model.loaded import LoadedModel
from assistant.model.presets import find_preset, preset_names
from assistant.model.processor import open_processor
from assistant.model.tensors import files_fingerprint, read_header, read_tensors
from assistant.model.text import TextTower
from assistant.model.writing import describe

if TYPE_CHECKING:
    import torch
    from transformers import LlavaForConditionalGeneration

__all__ = ["LoadedModel", "adapter_base", "check_base", "folder_fingerprint", "load_model", "resolve", "starter_folder"]

Quantization = Literal["nf4", "int8", "none"]

_BILLION = 1_000_000_000
_UNUSED = "vision_tower.pooler."


def load_model(
    name: str | Path = "starter",
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantization: Quantization | None = None,
    encoding: Encoding = "exact",
) -> LoadedModel:
    """Open a model.

    Args:
        name: "starter" (ships with the package), a model folder, or an adapter folder.
        device: "auto" takes the first GPU if there is one; else "cpu", "cuda", "cuda:1", …
        dtype: "float32", "bfloat16", "float16", or "auto": bfloat16 on a GPU and for models of a billion
            parameters or more, else float32.
        quantization: of the language model's linears only: "nf4" (4 bits), "int8", or "none". None follows the
            contract on a GPU, and is "none" on a CPU.
        encoding: number format of the encoder's towers on a CPU; see `assistant.model.encoding`.
    Returns:
        the model in evaluation mode.
    Raises:
        ModelError: there is no such model, a file is missing or broken, the weights do not fit the configuration,
            or the parts do not keep the contract; or the encoder does not bear the format.
    """
    check_encoding(encoding)
    folder = resolve(name)
    base_folder = adapter_base(folder)
    check_files(base_folder or folder)
    weight_files(folder)  # an adapter's own
    contract = Contract.read(folder)
    if base_folder is not None:
        check_base(contract, folder, base_folder)
    place = _device(device)
    kind = _quantization(quantization, contract, place)
    torch_type = _dtype(dtype, place, base_folder or folder)
    llava = _open_llava(base_folder or folder, place, torch_type, kind)
    if base_folder is not None:
        from assistant.model.adapter import attach

        llava = attach(llava, folder)
    processor = open_processor(folder)
    side_folder = folder if (folder / "projection.safetensors").is_file() else base_folder or folder
    contract.check(describe(llava, processor, side_folder), where=str(folder))
    if dtype == "float16":
        _to_half(llava)
    projection = read_tensors(side_folder / "projection.safetensors")
    with _quiet(side_folder / "text_tower"):
        text = TextTower.open(side_folder / "text_tower", projection, place)
    loaded = LoadedModel(
        llava=llava.eval().requires_grad_(False),
        processor=processor,
        text=text,
        projection=projection["visual.weight"].to(place).float(),
        contract=contract,
        folder=folder,
        fingerprint=folder_fingerprint(folder),
        device=place,
        dtype=torch_type,
    )
    return with_encoding(loaded, encoding)


def resolve(name: str | Path) -> Path:
    """Find the folder that a model's name stands for.

    Args:
        name: see `load_model`.
    Returns:
        an existing folder.
    Raises:
        ModelError: it is neither the starter nor a folder; for a preset, it says how to make a folder of it.
    """
    if str(name) == "starter":
        folder = starter_folder()
        if not (folder / CONTRACT_NAME).is_file():
            raise ModelError(
                f"The starter's weights are not in {folder}. Install the package again, or train them: "
                "python -m training.starter --data DIR --out DIR, and load that folder."
            )
        return folder
    folder = Path(name)
    if folder.is_dir():
        return folder
    preset = find_preset(str(name))
    if preset is not None:
        raise ModelError(preset.how_to_make())
    raise ModelError(
        f"There is no model {str(name)!r}: it is no folder, not 'starter', and none of the presets "
        f"({', '.join(preset_names())}). Check the spelling or give a model folder."
    )


def starter_folder() -> Path:
    """Return where the package keeps the model that ships with it."""
    return Path(__file__).parent.parent / "starter"


def folder_fingerprint(folder: Path) -> str:
    """Return the identity of a model folder: 16 hexadecimal digits over its contract and weights.

    For an adapter folder the base is identified by the contract. See `tensors.files_fingerprint` for how large
    files are hashed.
    """
    side = [item for item in ("projection.safetensors",) if (folder / item).is_file()]
    return files_fingerprint(folder, [CONTRACT_NAME, *weight_files(folder), *side])


def adapter_base(folder: Path) -> Path | None:
    """Find the base of an adapter.

    Args:
        folder: any model folder.
    Returns:
        the base's folder, or None if `folder` holds a whole model.
    Raises:
        ModelError: `adapter_config.json` is broken, or there is no model where it says.
    """
    path = folder / "adapter_config.json"
    if not path.is_file() or (folder / "config.json").is_file():
        return None
    try:
        named = str(json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (ValueError, KeyError) as error:
        raise ModelError(f"{path} is broken ({error!r}). Copy the adapter folder again from its source.") from error
    for candidate in (Path(named), folder / named, folder.parent / Path(named).name):
        if (candidate / CONTRACT_NAME).is_file():
            return candidate
    if named == "starter":
        return resolve("starter")
    raise ModelError(
        f"{folder} is an adapter on {named!r}, and no model folder is there. "
        f"Put the base there, or set base_model_name_or_path in {path}."
    )


def check_base(contract: Contract, folder: Path, base_folder: Path) -> None:
    """Check that an adapter's contract names this base.

    Args:
        contract: the adapter's.
        folder: the adapter's, named in errors.
        base_folder: the base.
    Raises:
        ModelError: it names none or another.
    """
    if contract.base is None:
        raise ModelError(
            f"{folder / CONTRACT_NAME} names no base fingerprint, though the folder holds an adapter. "
            "Save adapters with python -m training.sft, or restore the file."
        )
    contract.check({"base": folder_fingerprint(base_folder)}, where=str(folder))


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind = device.split(":")[0]
    if kind not in {"cpu", "cuda"}:
        raise ModelError(f"device is {device!r}; use auto, cpu, cuda or cuda:N.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device is {device!r}, but torch {torch.__version__} sees no GPU. Use --device cpu or auto.")
    return "cuda:0" if device == "cuda" else device


def _quantization(asked: str | None, contract: Contract, device: str) -> str | None:
    if asked not in (None, "nf4", "int8", "none"):
        raise ModelError(f"quantization is {asked!r}; use nf4, int8 or none.")
    if asked is None:
        return contract.quantization if device.startswith("cuda") else None
    return None if asked == "none" else asked


def _dtype(dtype: str, device: str, folder: Path) -> torch.dtype:
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


def _open_llava(
    folder: Path, device: str, dtype: torch.dtype, quantization: str | None
) -> LlavaForConditionalGeneration:
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import LlavaForConditionalGeneration

    from assistant.model.quantize import quantization_config

    options: dict[str, Any] = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    if quantization is not None:
        options["quantization_config"] = quantization_config(quantization, dtype)
    if quantization is not None or device != "cpu":
        options["device_map"] = {"": device}
    if dtype is torch.float16:
        options["dtype"] = torch.bfloat16  # fingerprints are of bfloat16 values; `_to_half` follows the check
    try:
        with _quiet(folder):
            loaded: Any = LlavaForConditionalGeneration.from_pretrained(
                folder, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, StrictDataclassError) as error:
        raise ModelError(f"{folder} cannot be opened: {error}. Restore its files from their source.") from error
    model, info = loaded
    _refuse_misfit(info, folder)
    return cast("LlavaForConditionalGeneration", model)


def _refuse_misfit(info: dict[str, Any], folder: Path) -> None:
    """Refuse a checkpoint whose tensors are not exactly those that its configuration asks for."""
    groups = {
        "missing": [key for key in info["missing_keys"] if _UNUSED not in key],
        "extra": info["unexpected_keys"],
        "mis-shaped": info["mismatched_keys"],
    }
    faults = [
        f"{len(keys)} {word} ({', '.join(sorted(str(key) for key in keys)[:4])})"
        for word, keys in groups.items()
        if keys
    ]
    if faults:
        raise ModelError(
            f"The weights in {folder} do not fit its config.json: {'; '.join(faults)}. "
            "Restore the folder from its source, or make it again with python -m training.assemble RECIPE.yaml"
        )


def _to_half(llava: LlavaForConditionalGeneration) -> None:
    """Cast in place what is not quantized; buffers, such as rotary frequencies, keep their type."""
    import torch

    for parameter in llava.parameters():
        if parameter.dtype is torch.bfloat16:
            parameter.data = parameter.data.to(torch.float16)


@contextmanager
def _quiet(folder: Path) -> Iterator[None]:
    """Hide progress bars of a load that takes no time worth showing."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    if sum((folder / name).stat().st_size for name in weight_files(folder)) < _BILLION:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
