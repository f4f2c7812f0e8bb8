"""Settings of `python -m training.contrast`, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from assistant.errors import ConfigError
from training.augment_settings import AugmentSettings
from training.recipe import OptimizerSettings


@dataclass(frozen=True)
class EncoderShape:
    """Size of a new BiomedCLIP-shaped encoder; `shape:` in a recipe."""

    image_size: int = 128
    """Pixels a side of the input."""
    patch_size: int = 16
    """Pixels a side of a patch."""
    width: int = 192
    """Width of the vision transformer."""
    depth: int = 12
    """Its layers."""
    heads: int = 3
    """Its attention heads."""
    embed_dim: int = 256
    """Width of the space that pictures and texts share."""
    text_width: int = 192
    """Width of the text tower."""
    text_depth: int = 4
    """Its layers."""
    text_heads: int = 3
    """Its attention heads."""
    vocabulary: int = 8000
    """Entries of its WordPiece vocabulary."""

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size:
            raise ConfigError(
                f"shape.image_size {self.image_size} is no multiple of shape.patch_size {self.patch_size}."
            )
        if self.width % self.heads or self.text_width % self.text_heads:
            raise ConfigError("shape.width and shape.text_width must be multiples of their numbers of heads.")


@dataclass(frozen=True)
class PhantomSettings:
    """Drawn training pictures with exact truth; `phantoms:` in a recipe."""

    count: int = 6000
    """How many are drawn, once."""
    seed: int = 1
    """Start of their series; evaluation uses other seeds."""
    share: float = 0.3
    """Share of each batch."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ConfigError(f"phantoms.share is {self.share}; it is a share of the batch, at least 0 and below 1.")


@dataclass(frozen=True)
class TeacherSettings:
    """The teacher; `teacher:` in a recipe, null for none."""

    arch: str = "resnet18"
    """A convolutional network of timm."""
    weights: Path | None = None
    """Safetensors file of `arch` with timm's names, from training on other pictures; without it, it starts from
    nothing."""
    image_size: int | None = None
    """Pixels a side of what it is shown, at most `store_side`; without it, as many as the encoder's."""
    batch_size: int | None = None
    """Pictures a step; without it, as many as the encoder's."""
    steps: int = 1200
    """Updates."""
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(lr=2e-3, weight_decay=0.05))
    """Its own schedule."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"teacher.steps is {self.steps}; use 1 or more, or `teacher: null` for none.")


@dataclass(frozen=True)
class LossWeights:
    """How much each thing counts; `losses:` in a recipe."""

    caption: float = 0.5
    """Pictures and captions find each other (contrastive)."""
    text: float = 0.25
    """Texts that belong together find each other."""
    category: float = 0.5
    """Known categories, read off the class token and off the mean of the patches."""
    teacher: float = 1.0
    """Agreement with the teacher's categories."""
    places: float = 1.0
    """Agreement of each patch with the teacher's features at its place."""
    dense: float = 1.0
    """What each patch of a phantom shows."""
    attributes: dict[str, float] = field(default_factory=dict)
    """Weight of single attributes, 1 where not named."""


@dataclass(frozen=True)
class ContrastSettings:
    """Settings of `python -m training.contrast`."""

    data: tuple[Path, ...]
    """JSONL data files for training."""
    out: Path
    """Run folder; the encoder is written to `out/encoder`, an open_clip folder."""
    encoder: Path | None = None
    """An open_clip folder to go on from, or a model whose encoder to go on from, such as `starter`; without it a new
    one of `shape` is made."""
    image_size: int | None = None
    """Pixels a side from now on, where `encoder` was made for another size; its positions are interpolated."""
    dev: Path | None = None
    """JSONL data file whose categories are predicted at every report."""
    passages: tuple[Path, ...] = ()
    """JSONL passages or folders of Markdown cards, for the text tower and its vocabulary."""
    shape: EncoderShape = field(default_factory=EncoderShape)
    """Shape of a new encoder."""
    phantoms: PhantomSettings = field(default_factory=PhantomSettings)
    """Drawn pictures."""
    teacher: TeacherSettings | None = field(default_factory=TeacherSettings)
    """Convolutional teacher, null for none."""
    losses: LossWeights = field(default_factory=LossWeights)
    """Weights of the losses."""
    matching: str = "softmax"
    """How pictures and texts find each other: softmax over the batch (CLIP), or sigmoid, each pair by itself (SigLIP),
    which small batches suit."""
    freeze: tuple[str, ...] = ()
    """Towers of `encoder` that stay as they are: image, text. A frozen image tower still learns its projection."""
    freeze_layers: int = 0
    """First layers of the image tower, its patch embedding among them, that stay as they are."""
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    """Augmentation."""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """Learning rate and schedule."""
    mirror: tuple[str, ...] = ("brain", "breast", "skin", "peripheral blood")
    """Regions whose pictures may be mirrored."""
    turn: tuple[str, ...] = ("skin", "peripheral blood")
    """Regions whose pictures have no up or down."""
    steps: int = 3000
    """Updates."""
    batch_size: int = 64
    """Pictures a step."""
    mixing: float = 0.5
    """Chance that the real pictures of a batch are mixed in pairs."""
    store_side: int = 160
    """Pixels a side at which pictures are kept decoded."""
    average: float = 0.998
    """Decay of the averaged weights, which are the ones kept."""
    bf16: bool | None = None
    """Compute in bfloat16. Left out, it is chosen where the run begins, by a short measurement."""
    threads: int = 0
    """CPU threads, 0 for torch's own choice."""
    report_every: int = 200
    """Steps between two reports; the state is saved then, too."""
    seed: int = 0
    """Start of every random choice."""

    def __post_init__(self) -> None:
        if self.image_size is not None and self.encoder is None:
            raise ConfigError("image_size changes the size of `encoder`; for a new one, set shape.image_size.")
        if self.steps < 1 or self.batch_size < 2:
            raise ConfigError(f"steps is {self.steps}, batch_size {self.batch_size}; use at least 1 and 2.")
        if self.matching not in ("softmax", "sigmoid"):
            raise ConfigError(f"matching is {self.matching!r}; use softmax or sigmoid.")
        if unknown := set(self.freeze) - {"image", "text"}:
            raise ConfigError(f"freeze is {sorted(unknown)}; choose from image, text.")
        if self.freeze_layers < 0:
            raise ConfigError(f"freeze_layers is {self.freeze_layers}; use 0 or more.")
        if (self.freeze or self.freeze_layers) and self.encoder is None:
            raise ConfigError(
                "freeze keeps what an encoder has learned, but a new one has learned nothing; set encoder."
            )


def describe(settings: ContrastSettings) -> str:
    """Say what a run would do."""
    return (
        f"encoder: {settings.steps} steps of {settings.batch_size} pictures from {len(settings.data)} file(s) and "
        f"{settings.phantoms.count} phantoms, teacher: {settings.teacher.arch if settings.teacher else 'none'}, "
        f"to {settings.out / 'encoder'}"
    )
