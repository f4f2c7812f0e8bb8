"""Settings of `dpo`, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from assistant.errors import ConfigError
from training.pair_settings import describe_run
from training.reference_settings import ReferenceSettings

LOSS_NAMES = (
    "sigmoid", "robust", "hinge", "ipo", "apo_zero", "apo_down", "sppo_hard", "nca_pair", "exo_pair", "bco_pair",
    "aot", "aot_unpaired", "discopop", "sft", "sigmoid_norm",
)  # fmt: skip
SMOOTHED = ("sigmoid", "robust", "exo_pair", "aot", "aot_unpaired")
"""Losses that use label_smoothing."""


@dataclass(frozen=True)
class DpoSettings(ReferenceSettings):
    """Settings of `python -m training.dpo`."""

    loss: str = "sigmoid"
    """How a pair is judged: sigmoid (DPO), robust, hinge, ipo, apo_zero, apo_down, sppo_hard, nca_pair, exo_pair,
    bco_pair, aot, aot_unpaired, discopop, sft, sigmoid_norm. The two aot compare all pairs of a step."""
    add_losses: dict[str, float] = field(default_factory=dict)
    """More of these, each with its weight beside the first's 1: {bco_pair: 0.25, sft: 1.25} is about MPO."""
    label_smoothing: float = 0.0
    """Share of pairs that may be the wrong way round; for sigmoid, robust, aot, aot_unpaired, and exo_pair, which needs
    it above 0, such as 0.001."""
    per_token: bool = False
    """Judge mean rather than summed log-probabilities, so that a longer answer gains nothing by its length. With
    ipo it is the form that trl runs."""
    ld_alpha: float = 1.0
    """Weight of the tokens of the longer answer beyond the length of the shorter, 0 to 1 (LD-DPO, Liu et al. 2024)."""
    shared_weight: float = 1.0
    """Weight of the tokens that both answers of a pair have in common, 0 to 1; what differs counts 1, and so does the
    token with which an answer goes on where the other has a passage more. 1 is usual, 0 leaves what differs alone: for
    pairs whose fault is one passage, so that the rest of the text is not unlearned with it (Banerjee et al. 2024 weigh
    tokens that have nothing to do with the fault so). `sft_weight` goes on counting the whole better answer."""
    length_penalty: float = 0.0
    """Price of a token of an answer, in the unit of beta times nats: a preference that length explains is learned the
    less (R-DPO, Park et al. 2024)."""
    sft_weight: float = 0.0
    """Weight of a plain loss on the better answer beside (RPO), which keeps its probability from falling."""

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = sorted({self.loss, *self.add_losses} - set(LOSS_NAMES))
        if unknown:
            name = "loss" if self.loss in unknown else "add_losses"
            raise ConfigError(f"{name} is {unknown[0]!r}; choose from {', '.join(LOSS_NAMES)}.")
        used = (self.loss, *self.add_losses)
        light = sorted(name for name, weight in self.add_losses.items() if weight <= 0 or name == self.loss)
        if light:
            raise ConfigError(
                f"add_losses has {light[0]}: {self.add_losses[light[0]]}; give each a weight above 0, and none twice."
            )
        if self.accumulate > 1 and self.sorting:
            raise ConfigError(
                f"{self.sorting[0]} sorts the pairs of a whole step, which accumulate {self.accumulate} divides; "
                "set accumulate to 1, or choose another loss."
            )
        self._check_smoothing(used)
        self._check_lengths(used)
        self._check_shared(used)

    @property
    def sorting(self) -> list[str]:
        """Losses in use that compare all pairs of a step with each other."""
        return [name for name in (self.loss, *self.add_losses) if name.startswith("aot")]

    def _check_smoothing(self, used: tuple[str, ...]) -> None:
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}; it is a share, at least 0 and below 0.5.")
        if self.label_smoothing and not set(used) & set(SMOOTHED):
            raise ConfigError(
                f"label_smoothing is {self.label_smoothing}, which {' and '.join(used)} does not use; set it to 0."
            )
        if "exo_pair" in used and not self.label_smoothing:
            raise ConfigError("label_smoothing is 0, with which exo_pair has no loss; set it to 0.001.")

    def _check_lengths(self, used: tuple[str, ...]) -> None:
        if not 0 <= self.ld_alpha <= 1:
            raise ConfigError(f"ld_alpha is {self.ld_alpha}; it is a weight from 0 to 1, and 1 leaves lengths alone.")
        if self.length_penalty < 0:
            raise ConfigError(f"length_penalty is {self.length_penalty}; use 0 or more.")
        found = {
            "per_token": self.per_token,
            "sigmoid_norm": "sigmoid_norm" in used,
            "ld_alpha": self.ld_alpha < 1,
            "length_penalty": self.length_penalty > 0,
        }
        on = [name for name, one in found.items() if one]
        if len(on) > 1:
            raise ConfigError(f"{' and '.join(on)} are ways to take the influence of length out; choose one.")
        if self.per_token and "sft" in used:
            raise ConfigError("sft is a mean a token already; with per_token use sft_weight in its place.")

    def _check_shared(self, used: tuple[str, ...]) -> None:
        weight = self.shared_weight
        if not 0 <= weight <= 1:
            raise ConfigError(f"shared_weight is {weight}; it is a weight from 0 to 1, and 1 counts every token alike.")
        if weight == 1:
            return
        others = {"per_token": self.per_token, "sigmoid_norm": "sigmoid_norm" in used, "ld_alpha": self.ld_alpha < 1}
        if on := [name for name, one in others.items() if one]:
            raise ConfigError(f"shared_weight and {on[0]} both weigh the tokens of an answer; choose one.")
        if set(used) == {"sft"}:
            raise ConfigError(f"shared_weight is {weight}, which sft does not use; set it to 1.")


def describe(settings: DpoSettings) -> str:
    """Say what a run would do, after a look at the data files."""
    more = "".join(f" + {weight:g} {name}" for name, weight in settings.add_losses.items())
    shared = f", tokens in common count {settings.shared_weight:g}" if settings.shared_weight < 1 else ""
    return describe_run(settings, f"{settings.loss}{more}, beta {settings.beta:g}{shared}")
