"""How many texts may be written at once: as many as keep their keys and values within some memory.

A step reads all weights once for all its rows, so on a CPU, where reading them is most of a step, a text costs the less
the more are written beside it. What grows with the rows is the memory of their keys and values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.config import GenerationConfig
    from assistant.model.loaded import LoadedModel

MOST_BYTES = 2_000_000_000
"""Of the keys and values of the reports that are written together."""
TIMES = 3
"""So many times the batch size at most: beyond it the keys and values are most of what a step reads."""


def token_bytes(model: LoadedModel) -> int:
    """Return what the keys and values of one token take.

    Args:
        model: as loaded; a language model in fewer bits than its weights takes no more.
    Returns:
        Bytes, over all layers.
    """
    from assistant.model.parts import bare

    config = bare(model.llava).config.get_text_config()
    heads = int(config.num_attention_heads)
    shared = int(getattr(config, "num_key_value_heads", None) or heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return 2 * int(config.num_hidden_layers) * shared * width * model.dtype.itemsize


def reports_together(model: LoadedModel | None, settings: GenerationConfig) -> int:
    """Return how many reports to write at once.

    Args:
        model: as loaded; None where others load it, each on a machine of its own.
        settings: `report_batch` if it is set, else the batch size, and more of them where they fit.
    Returns:
        At least 1.
    """
    if settings.report_batch is not None:
        return settings.report_batch
    if model is None or model.device != "cpu":
        return settings.batch_size
    # A report on one picture and some words beside it; a study of more pictures has room, since few have as many.
    tokens = 2 * model.contract.image_tokens + settings.report_max_new_tokens
    fitting = MOST_BYTES // (token_bytes(model) * tokens)
    return max(settings.batch_size, min(TIMES * settings.batch_size, fitting))
