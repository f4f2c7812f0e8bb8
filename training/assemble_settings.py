"""Settings of `assemble`, apart from the code that puts a model together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assistant.errors import ConfigError
from assistant.model.tiles import MOST


@dataclass(frozen=True)
class LlamaShape:
    """A new, small Llama with random weights; `new_llm:` in a recipe."""

    hidden_size: int = 256
    """Width."""
    intermediate_size: int = 704
    """Width inside the feed-forward layers."""
    num_hidden_layers: int = 6
    """Layers."""
    num_attention_heads: int = 4
    """Attention heads."""
    num_key_value_heads: int = 4
    """Key-value heads; fewer than attention heads is grouped-query attention."""
    max_position_embeddings: int = 2048
    """Longest sequence in tokens."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"new_llm.hidden_size {self.hidden_size} is no multiple of its {self.num_attention_heads} heads."
            )


@dataclass(frozen=True)
class NewTokenizer:
    """A byte-level BPE tokenizer trained for a new language model; `new_tokenizer:` in a recipe."""

    data: tuple[Path, ...]
    """JSONL files of examples whose words it learns, or folders of Markdown cards."""
    size: int = 3000
    """Entries of the vocabulary."""

    def __post_init__(self) -> None:
        if self.size < 300:
            raise ConfigError(
                f"new_tokenizer.size is {self.size}; the 256 bytes and the special tokens need 300 at least."
            )


@dataclass(frozen=True)
class AssembleSettings:
    """Settings of `python -m training.assemble`; a preset of `assistant/model/presets` fits as it stands."""

    encoder: str
    """An open_clip folder or hub id."""
    out: Path
    """The model folder to make."""
    model: str | None = None
    """A model folder, or `starter`, that is to have this encoder, of the same width as its own, in place of its own:
    connector, language model and settings stay, and `align` or `sft` follows. In place of `llm` and `new_llm`."""
    llm: str | None = None
    """Folder or hub id of a causal language model; leave out with `new_llm`."""
    new_llm: LlamaShape | None = None
    """Shape of a new language model."""
    new_tokenizer: NewTokenizer | None = None
    """Its tokenizer."""
    connector: Literal["linear", "mlp2x_gelu"] = "mlp2x_gelu"
    """Kind of connector."""
    feature_layer: int = -1
    """Which layer of the tower the connector reads: -1 or -2."""
    class_token: bool = False
    """Give the language model the tower's class token too, before the patches: what it says of the whole picture."""
    tiles: int = 1
    """Tiles along a side that a picture is looked at in beside the whole, for small findings: 2 is 2 x 2 tiles, five
    views of a picture through the tower and the same number of tokens. 1 is the whole picture alone."""
    quantization: Literal["nf4", "int8"] | None = None
    """How the language model is loaded on a GPU when nothing else is asked."""
    licence: str = "unknown"
    """Licence of the language model's weights, or of the whole if it is new."""
    name: str | None = None
    """What the model is called in answers; the folder's name if left out."""
    training_data: tuple[str, ...] = ()
    """One line for each data set behind the weights, with its licence."""
    capabilities: dict[str, str] | None = None
    """What the model can do besides the usual; see `assistant.model.contract`."""
    seed: int = 0
    """Start of every random weight."""
    gpu_memory_gb: float | None = None
    """For a reader of a preset; not used here."""
    note: str | None = None
    """For a reader of a preset; not used here."""
    shape: dict[str, Any] | None = None
    """A preset's sizes of the language model, which a dry run counts with."""

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.model, self.llm, self.new_llm)) != 1:
            raise ConfigError(
                "give one of `llm`, a language model to take, `new_llm`, the shape of a new one, or `model`, a model "
                "that is to have the encoder in place of its own."
            )
        own = ("connector", "feature_layer", "class_token", "tiles", "quantization", "licence", "capabilities")
        given = [name for name in own if getattr(self, name) != type(self).__dataclass_fields__[name].default]
        if self.model is not None and given:
            raise ConfigError(f"with `model`, its own settings stay; leave out {', '.join(given)}.")
        if not 1 <= self.tiles <= MOST:
            raise ConfigError(f"tiles is {self.tiles}; use 1 (the whole picture alone) to {MOST}.")
        if (self.new_llm is None) != (self.new_tokenizer is None):
            raise ConfigError("`new_llm` and `new_tokenizer` go together: a new language model needs its own words.")
