"""Opens a model folder, and refuses one whose parts are missing, broken or do not fit each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from assistant.errors import ModelError
from assistant.model.contract import CONTRACT_NAME, Contract
from assistant.model.encoding import Encoding, check_encoding, with_encoding
from assistant.model.folder import check_files, quiet, starter_folder, weight_files
from assistant.model.loaded import LoadedModel
from assistant.model.naming import made_name
from assistant.model.placing import place_of, quantization_of, type_of
from assistant.model.presets import find_preset, preset_names
from assistant.model.processor import open_processor
from assistant.model.tensors import files_fingerprint, read_tensors
from assistant.model.text import TextTower
from assistant.model.weights import same_weights
from assistant.model.writing import describe

if TYPE_CHECKING:
    import torch
    from torch import Tensor
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
    base: LoadedModel | None = None,
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
        base: what an adapter sits on, open already with the same options, to use its weights; see `sharing`.
    Returns:
        the model in evaluation mode.
    Raises:
        ModelError: there is no such model, a file is missing or broken, the weights do not fit the configuration,
            or the parts do not keep the contract; or the encoder does not bear the format.
    """
    check_encoding(encoding)
    folder, base_folder, contract = look_at(name)
    whole, place = base_folder or folder, place_of(device)
    kind = quantization_of(quantization, contract.quantization, place)
    torch_type = type_of(dtype, place, whole) if base is None else base.dtype
    llava = _open_llava(whole, place, torch_type, kind) if base is None else same_weights(base.llava)
    llava = llava if base_folder is None else _attached(llava, folder)
    processor = open_processor(folder)
    side_folder = folder if (folder / "projection.safetensors").is_file() else whole
    contract.check(describe(llava, processor, side_folder), where=str(folder))
    if dtype == "float16":
        _to_half(llava)
    text, visual = _open_text(side_folder, place) if base is None else (base.text, base.projection)
    loaded = LoadedModel(
        llava=llava.eval().requires_grad_(False),
        processor=processor,
        text=text,
        projection=visual,
        contract=contract,
        folder=folder,
        fingerprint=folder_fingerprint(folder),
        device=place,
        dtype=torch_type,
        base=base,
    )
    if base is not None:
        return replace(loaded, image_tower=base.image_tower, encoding=base.encoding)
    return with_encoding(loaded, encoding)


def _attached(llava: LlavaForConditionalGeneration, folder: Path) -> LlavaForConditionalGeneration:
    """Return a base with an adapter inside; PEFT is imported for adapters alone."""
    from assistant.model.adapter import attach

    return attach(llava, folder)


def _open_text(folder: Path, device: str) -> tuple[TextTower, Tensor]:
    """Return the encoder's text half, and the matrix that its image half ends in."""
    projection = read_tensors(folder / "projection.safetensors")
    text = TextTower.open(folder / "text_tower", projection, device)
    return text, projection["visual.weight"].to(device).float()


def look_at(name: str | Path) -> tuple[Path, Path | None, Contract]:
    """Check a model's folder, without its weights.

    Args:
        name: see `load_model`.
    Returns:
        Its folder, that of the base if it is an adapter, and its contract. An adapter that carries its base's name,
        as adapters of other tools and of early runs do, is told apart by `made_name`.
    Raises:
        ModelError: there is no such model, a file is missing, or an adapter's base is not the one it was made on.
    """
    folder = resolve(name)
    base_folder = adapter_base(folder)
    check_files(base_folder or folder)
    weight_files(folder)  # an adapter's own
    contract = Contract.read(folder)
    if base_folder is not None:
        check_base(contract, folder, base_folder)
        if contract.name == Contract.read(base_folder).name:
            contract = contract.replace(name=made_name(contract.name, folder))
    return folder, base_folder, contract


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
        with quiet(folder):
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
