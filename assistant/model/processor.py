"""The processor: text with picture places, and pictures as the tower reads them, equal to open_clip's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from assistant.errors import ModelError
from assistant.model.biomedclip import EncoderParts
from assistant.model.template import IMAGE_TOKEN, PLAIN_TEMPLATE, ROLE_TOKENS, choose_template

if TYPE_CHECKING:
    from transformers import LlavaProcessor, PreTrainedTokenizerBase


def make_processor(
    parts: EncoderParts, tokenizer: PreTrainedTokenizerBase, template: str, *, class_token: bool = False
) -> LlavaProcessor:
    """Return a processor whose pictures are equal to open_clip's to the last bit (PIL, bicubic, centre crop)."""
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    side = parts.image_size
    images = CLIPImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        resample=3,
        image_mean=list(parts.mean),
        image_std=list(parts.std),
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=int(parts.vision_config.patch_size),  # type: ignore[arg-type]
        num_additional_image_tokens=1,  # the class token, which "default" then leaves out
        vision_feature_select_strategy="full" if class_token else "default",
        chat_template=template,
    )


def prepare_tokenizer(source: str) -> tuple[PreTrainedTokenizerBase, str]:
    """Open a language model's tokenizer, choose its chat template, and add the tokens that are missing.

    Args:
        source: a folder or hub id.
    Returns:
        the tokenizer, padding on the left, and the template.
    Raises:
        ModelError: it cannot be opened, or has no EOS token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"No tokenizer can be opened at {source}: {error}. Check the path or hub id.") from error
    if tokenizer.eos_token is None:
        raise ModelError(f"The tokenizer at {source} has no EOS token, so no answer would end. Set eos_token in it.")
    template = choose_template(tokenizer)
    wanted = [IMAGE_TOKEN, *(ROLE_TOKENS if template == PLAIN_TEMPLATE else ())]
    known = tokenizer.get_vocab()
    missing = [token for token in wanted if token not in known]
    unmarked = [token for token in wanted if token in known and token not in tokenizer.all_special_tokens]
    if missing or unmarked:
        tokenizer.add_special_tokens({"additional_special_tokens": missing + unmarked})
    if tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.padding_side = "left"
    tokenizer.chat_template = template
    return tokenizer, template


def open_processor(folder: Path) -> LlavaProcessor:
    """Open a saved processor with its PIL backend, which a plain reload would not choose.

    Args:
        folder: a model folder.
    Returns:
        the processor, its tokenizer padding on the left.
    Raises:
        ModelError: a file is missing or broken.
    """
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(folder, backend="pil", local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The processor or tokenizer in {folder} cannot be opened: {error}. Restore its files."
        ) from error
    processor.tokenizer.padding_side = "left"
    return cast("LlavaProcessor", processor)
