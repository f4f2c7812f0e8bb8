"""AdaLoRA's part in every step: linears that matter more get more rank, and their matrices are kept orthogonal.

PEFT does the sharing out; here it is called at the right moments, and what it remembers is kept for a resumed run.
Source: Zhang et al., AdaLoRA: adaptive budget allocation for parameter-efficient fine-tuning, 2023.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from assistant.errors import TrainingError

MEMORY = ("exp_avg_ipt", "exp_avg_unc")
"""What PEFT's allocator remembers of every matrix: how much it matters, and how surely."""


class Ranks:
    """Shares out the ranks of one adapter.

    Args:
        model: PEFT's.
        steps: of the whole run; ranks are shared out from a tenth to seven tenths of it, unless `lora.options` differ.
    Raises:
        TrainingError: the run is too short for it.
    """

    def __init__(self, model: Any, steps: int) -> None:
        self.model = model
        self.config = model.peft_config[model.trainable_adapter_name]
        self.allocator = model.rankallocator
        # An adapter that is gone on with has its share already.
        self.shared = self.config.rank_pattern is not None
        if self.shared:
            return
        self.config.total_step = steps
        self.config.tinit = self.config.tinit or steps // 10
        self.config.tfinal = self.config.tfinal or 3 * steps // 10
        if self.config.tinit >= steps - self.config.tfinal:
            raise TrainingError(
                f"{steps} steps leave none to share out ranks between tinit {self.config.tinit} and tfinal "
                f"{self.config.tfinal}. Train longer, or lower these in lora.options."
            )

    def keep_orthogonal(self, share: float = 1.0) -> None:
        """Add the gradient of the penalty on matrices whose rows or columns are not orthonormal.

        Args:
            share: of it that this process adds.
        """
        penalties = []
        for name, one in self.model.named_parameters():
            if one.requires_grad and (".lora_A." in name or ".lora_B." in name):
                square = one @ one.T if ".lora_A." in name else one.T @ one
                penalties.append(torch.linalg.norm(square - torch.eye(len(square), device=one.device)))
        if penalties and self.config.orth_reg_weight:
            (share * self.config.orth_reg_weight * torch.stack(penalties).mean()).backward()

    def share_out(self, step: int) -> None:
        """Measure what each matrix matters and share out the ranks; between the optimizer's step and its zeroing."""
        if not self.shared:
            self.model.update_and_allocate(step)

    def state(self) -> dict[str, Tensor]:
        """Return what has to be kept."""
        found = {f"{part}/{name}": one for part in MEMORY for name, one in getattr(self.allocator, part).items()}
        pattern = self.config.rank_pattern or {}
        return found | {f"pattern/{name}": torch.tensor(kept) for name, kept in pattern.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        for key, one in tensors.items():
            part, name = key.split("/", 1)
            if part in MEMORY:
                getattr(self.allocator, part)[name] = one
                self.allocator.ipt.setdefault(name, torch.zeros_like(one))
        pattern = {key.split("/", 1)[1]: one.tolist() for key, one in tensors.items() if key.startswith("pattern/")}
        self.config.rank_pattern = pattern or None


def find_ranks(module: nn.Module, steps: int) -> Ranks | None:
    """Find an AdaLoRA adapter in what is trained.

    Args:
        module: any.
        steps: of the whole run.
    Returns:
        None where there is no such adapter.
    """
    found = [one for one in module.modules() if type(one).__name__ == "AdaLoraModel"]
    return Ranks(found[0], steps) if found and hasattr(found[0], "rankallocator") else None
