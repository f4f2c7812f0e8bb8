"""Builds a model folder: encoder + connector + language model, as one stock `LlavaForConditionalGeneration`.

The image tower is copied from the encoder, the language model from a folder, the hub, or a fresh random one from a
configuration; the connector starts at random and has to be trained (`python -m training.align`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from assistant.errors import ModelError
from assistant.model.biomedclip import EncoderParts, read_encoder
from assistant.model.contract import Contract
from assistant.model.processor import make_processor, prepare_tokenizer
from assistant.model.template import IMAGE_TOKEN
from assistant.model.tiles import check_tiles, layers_of
from assistant.model.writing import atomic_folder, describe, index_weights, today

if TYPE_CHECKING:
    from transformers import (
        GenerationConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )

Connector = Literal["linear", "mlp2x_gelu"]

_FITTING = "Use a Llama, Mistral, Qwen2, Qwen3, Phi3, Gemma, Gemma3, SmolLM3, untied GPTNeoX or BioGPT model."

# Stock Llava always has two linears. With no function between them they are one linear map, W2 (W1 x + b1) + b2,
# which is LLaVA-1.0's single linear in factored form: same functions, and any HF tool still loads it.
_ACTIVATIONS: dict[str, str] = {"linear": "linear", "mlp2x_gelu": "gelu"}


def assemble_folder(
    encoder: str | Path,
    llm: str | Path | Mapping[str, Any],
    tokenizer_dir: str | Path | None,
    out: str | Path,
    *,
    connector: Connector = "mlp2x_gelu",
    feature_layer: int = -1,
    class_token: bool = False,
    tiles: int = 1,
    seed: int = 0,
    name: str | None = None,
    licence: str = "unknown",
    training_data: Sequence[str] = (),
    quantization: Literal["nf4", "int8"] | None = None,
    prompt_version: str = "1",
    capabilities: Mapping[str, str] | None = None,
    dtype: str = "auto",
) -> Path:
    """Build a model folder with an untrained connector.

    Args:
        encoder: an open_clip folder or hub id; see `biomedclip.read_encoder`.
        llm: a causal language model's folder or hub id, or `LlamaConfig` keywords for a fresh one (less vocab_size).
        tokenizer_dir: folder of the tokenizer; None takes the one that lies with the language model.
        out: the folder to make; it must not exist or must be empty. It appears whole or not at all.
        connector: "linear" or "mlp2x_gelu".
        feature_layer: which hidden state of the tower to read, -1 or -2. Both are before the tower's last norm.
        class_token: give the language model the tower's class token before the patches (Llava's strategy "full").
        tiles: along a side, beside the whole picture; 1 for the whole alone. See `assistant.model.tiles`.
        seed: of everything that starts at random.
        name: shown in answers; the folder's name if None.
        licence: of the weights.
        training_data: one line for each data set used so far, with its licence.
        quantization: how to load the language model on a GPU by default.
        prompt_version: of the prompts that the model is to be trained with.
        capabilities: see `Contract.capabilities`.
        dtype: type to save in; "auto" keeps the language model's own, float32 for a fresh one.
    Returns:
        `out`.
    Raises:
        ModelError: a part is missing or broken, or the parts cannot be joined.
    """
    _check_options(llm, tokenizer_dir, connector, feature_layer)
    check_tiles(tiles)
    target, parts = Path(out), read_encoder(encoder)
    tokenizer, template = prepare_tokenizer(str(tokenizer_dir or llm))
    language = _language_model(llm, tokenizer, seed)
    with _seeded(seed):
        layers = layers_of(feature_layer, tiles)
        model = _join(parts, language, _llava_config(parts, language, tokenizer, connector, layers, class_token))
    _set_generation(model, tokenizer, None if isinstance(llm, Mapping) else language.generation_config)
    processor = make_processor(parts, tokenizer, template, class_token=class_token)
    settings: dict[str, Any] = {"name": name or target.resolve().name, "created": today(), "licence": licence}
    settings |= {"training_data": tuple(training_data), "quantization": quantization}
    settings |= {"prompt_version": prompt_version, "capabilities": dict(capabilities or {})}
    with atomic_folder(target) as folder:
        save_parts(model, parts, processor, folder, _torch_dtype(dtype, language))
        Contract(**settings, **describe(model, processor, folder)).write(folder)
    return target


def _check_options(llm: object, tokenizer_dir: str | Path | None, connector: str, feature_layer: int) -> None:
    if connector not in _ACTIVATIONS:
        raise ModelError(f"connector is {connector!r}; choose one of: {', '.join(_ACTIVATIONS)}.")
    if feature_layer not in (-1, -2):
        raise ModelError(f"feature_layer is {feature_layer}; use -1 (last) or -2 (the one before).")
    if isinstance(llm, Mapping) and tokenizer_dir is None:
        raise ModelError("A language model made from a configuration has no tokenizer; give tokenizer_dir.")


def _language_model(
    llm: str | Path | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, seed: int
) -> PreTrainedModel:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    if isinstance(llm, Mapping):
        settings = {**llm, "vocab_size": len(tokenizer)}
        settings.setdefault("initializer_range", int(settings.get("hidden_size", 256)) ** -0.5)
        try:
            with _seeded(seed):
                return LlamaForCausalLM(LlamaConfig(**settings))
        except (TypeError, ValueError, StrictDataclassError) as error:
            raise ModelError(f"The language model's configuration {dict(llm)} does not work: {error}.") from error
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(llm, dtype="auto", use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"No language model can be opened at {llm}: {error}. Check the path or hub id.") from error
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        with _seeded(seed):
            model.resize_token_embeddings(len(tokenizer))
    return cast("PreTrainedModel", model)


def _join(parts: EncoderParts, language: PreTrainedModel, config: LlavaConfig) -> LlavaForConditionalGeneration:
    import torch
    from transformers import LlavaForConditionalGeneration
    from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

    _refuse_unfit(language)
    with torch.device("meta"):
        model: Any = LlavaForConditionalGeneration(config)
    if type(model.model.language_model) is not type(language.base_model):
        raise ModelError(f"{type(language).__name__} cannot stand inside Llava. {_FITTING}")
    tower = make_tower(parts)
    projector = LlavaMultiModalProjector(config)
    for layer in (projector.linear_1, projector.linear_2):
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    model.model.vision_tower = tower
    model.model.multi_modal_projector = projector
    model.model.language_model = language.base_model
    model.lm_head = language.get_output_embeddings()
    model.tie_weights()
    stranded = [name for name, tensor in model.named_parameters() if tensor.is_meta]
    if stranded:
        raise RuntimeError(f"parameters left without values: {stranded[:5]}")
    return cast("LlavaForConditionalGeneration", model.eval())


def make_tower(parts: EncoderParts) -> Any:
    """Return an encoder's image tower as a `ViTModel`."""
    import torch
    from transformers import ViTModel

    tower: Any = ViTModel(parts.vision_config)
    load_exact(tower, parts.vision_state, ignore=("pooler.",))
    torch.nn.init.zeros_(tower.pooler.dense.weight)  # never read; zeros keep the folder reproducible
    return tower


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch inside the block, and leave the caller's random numbers as they were."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _llava_config(
    parts: EncoderParts,
    language: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    connector: Connector,
    layers: int | list[int],
    class_token: bool,
) -> LlavaConfig:
    from transformers import LlavaConfig

    side, patch = parts.image_size, int(parts.vision_config.patch_size)  # type: ignore[arg-type]
    text = language.config
    text.pad_token_id, text.eos_token_id, text.bos_token_id = (
        tokenizer.pad_token_id,
        tokenizer.eos_token_id,
        tokenizer.bos_token_id,
    )
    return LlavaConfig(
        vision_config=parts.vision_config,
        text_config=text,
        image_token_index=int(tokenizer.get_vocab()[IMAGE_TOKEN]),
        projector_hidden_act=_ACTIVATIONS[connector],
        vision_feature_select_strategy="full" if class_token else "default",
        vision_feature_layer=layers,
        image_seq_length=(side // patch) ** 2 + class_token,
        tie_word_embeddings=bool(getattr(text, "tie_word_embeddings", False)),
    )


def _refuse_unfit(language: PreTrainedModel) -> None:
    """Llava's head is a plain matrix, tied at most to `embed_tokens`; other models would answer differently in it."""
    config = language.config
    scale = getattr(config, "logits_scaling", None) or getattr(config, "logit_scale", None) or 1.0
    biased = getattr(language.get_output_embeddings(), "bias", None) is not None
    if biased or getattr(config, "final_logit_softcapping", None) or scale != 1.0:
        raise ModelError(
            f"{type(language).__name__} scales, caps or shifts its logits, which Llava's plain head would leave out. "
            f"{_FITTING}"
        )
    if getattr(config, "tie_word_embeddings", False) and not hasattr(language.base_model, "embed_tokens"):
        raise ModelError(f"{type(language).__name__} has no embed_tokens to tie Llava's head to. {_FITTING}")


def load_exact(module: Any, state: Mapping[str, Any], ignore: tuple[str, ...] = ()) -> None:
    """Give a tower its weights.

    Args:
        module: the tower.
        state: its weights by name.
        ignore: beginnings of names that may be missing.
    Raises:
        ModelError: weights are missing, too many, or of other shapes.
    """
    try:
        wrong = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ModelError(f"The encoder's weights do not fit {type(module).__name__}: {error}") from error
    missing = [key for key in wrong.missing_keys if not key.startswith(ignore)] if ignore else list(wrong.missing_keys)
    unexpected = [key for key in wrong.unexpected_keys if not key.endswith("position_ids")]
    if missing or unexpected:
        raise ModelError(
            f"The encoder's weights do not fit {type(module).__name__}: missing {missing[:5]}, extra {unexpected[:5]}. "
            "Use BiomedCLIP, or a model made of a timm ViT and a BERT without extras."
        )


def _set_generation(model: Any, tokenizer: PreTrainedTokenizerBase, given: GenerationConfig | None) -> None:
    """Let answers end at the tokenizer's EOS and at whatever else ends the language model's turns."""
    from transformers import GenerationConfig

    ends = getattr(given, "eos_token_id", None) or []
    given_ends = [end for end in (ends if isinstance(ends, list) else [ends]) if end < len(tokenizer)]
    every = sorted({tokenizer.eos_token_id, *given_ends})
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=every if len(every) > 1 else every[0],
        pad_token_id=tokenizer.pad_token_id,
    )


def _torch_dtype(dtype: str, language: PreTrainedModel) -> Any:
    import torch

    types = {"float32": torch.float32, "bfloat16": torch.bfloat16, "auto": language.dtype}
    if dtype not in types:
        raise ModelError(f"dtype is {dtype!r}; choose one of: {', '.join(types)}.")
    return torch.bfloat16 if types[dtype] is torch.float16 else types[dtype]


def save_parts(model: Any, parts: EncoderParts, processor: Any, folder: Path, torch_type: Any) -> None:
    """Write everything of a model folder but the contract.

    Args:
        model: a `LlavaForConditionalGeneration`.
        parts: the encoder whose projection and text tower belong to it.
        processor: of the model.
        folder: there, and empty.
        torch_type: of the weights on disk.
    """
    from safetensors.torch import save_file
    from transformers import AutoTokenizer, BertModel

    model.to(torch_type).save_pretrained(folder)
    index_weights(folder)
    processor.save_pretrained(folder)
    save_file(
        {key: value.to(torch_type).contiguous() for key, value in parts.projection.items()},
        folder / "projection.safetensors",
    )
    with _seeded(0):  # every value is replaced, but making it would use up the caller's random numbers
        bert: Any = BertModel(parts.text_config, add_pooling_layer=False)
    load_exact(bert, parts.text_state)
    bert.to(torch_type).save_pretrained(folder / "text_tower")
    tokenizer = AutoTokenizer.from_pretrained(parts.tokenizer_dir)
    tokenizer.model_max_length = parts.context_length
    tokenizer.save_pretrained(folder / "text_tower")
