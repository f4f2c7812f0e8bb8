"""What every training loop needs: AdamW with a schedule, averaged weights, one source of chance, and a full state."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from assistant.errors import TrainingError
from training.adapter_ranks import find_ranks
from training.recipe import OptimizerSettings
from training.run_folder import RunFolder
from training.sharding import is_sharded, like, whole
from training.team import Team


class Loop:
    """Updates a module's trainable weights.

    Args:
        module: what is trained; parameters with `requires_grad` off are left alone.
        settings: learning rate and schedule.
        steps: length of the whole run, for the schedule.
        seed: start of the run's only source of chance, `generator`.
        average: decay of the exponential moving average of the weights, 0 for none.
        slow: names of parameters whose learning rate is multiplied by a factor.
        team: the processes that train together.
    """

    def __init__(
        self,
        module: nn.Module,
        settings: OptimizerSettings,
        *,
        steps: int,
        seed: int,
        average: float = 0.0,
        slow: dict[str, float] | None = None,
        team: Team | None = None,
    ) -> None:
        self.team = team or Team()
        self.module, self.settings, self.steps, self.decay = module, settings, steps, average
        self.generator = torch.Generator().manual_seed(seed)
        self.step_number = 0
        self.norm = 0.0
        named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        groups: dict[tuple[float, float, bool, bool], list[nn.Parameter]] = {}
        for name, parameter in named:
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            factor = next((value for prefix, value in (slow or {}).items() if name.startswith(prefix)), 1.0)
            by_muon = settings.name == "muon" and is_hidden_matrix(name, parameter)
            sharded = is_sharded(parameter)
            if by_muon and sharded:
                raise TrainingError("optimizer.name muon needs whole matrices, which FSDP spreads out; use adamw.")
            groups.setdefault((decay, factor, by_muon, sharded), []).append(parameter)

        def of(muon: bool) -> list[dict[str, Any]]:
            return [
                {"params": ps, "weight_decay": d, "factor": f} for (d, f, by, _), ps in groups.items() if by is muon
            ]

        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        if of(False):
            self.optimizers["optimizer"] = torch.optim.AdamW(of(False), lr=settings.lr, betas=(0.9, 0.98), fused=True)
        if of(True):
            self.optimizers["muon"] = torch.optim.Muon(of(True), lr=settings.lr, adjust_lr_fn="match_rms_adamw")
        self.averaged = {name: parameter.detach().clone() for name, parameter in named} if average else {}
        self.ranks = find_ranks(module, steps)

    def learning_rate(self) -> float:
        """Return the learning rate of the coming step: linear warm-up, then half a cosine."""
        warm = min(1.0, (self.step_number + 1) / max(1, self.settings.warmup_steps))
        rest = 0.5 + 0.5 * math.cos(math.pi * min(1.0, self.step_number / max(1, self.steps)))
        low = self.settings.final_lr_share
        return self.settings.lr * warm * (low + (1 - low) * rest)

    def update(self, loss: Tensor | None = None) -> None:
        """Back-propagate and take one step.

        Args:
            loss: of the step, or of its last part; None where this process has none left.
        """
        if loss is not None:
            loss.backward()
        if self.ranks is not None:
            # Gradients are summed over the processes, and this one is the same in all.
            self.ranks.keep_orthogonal(1 / self.team.size)
        groups = [group for one in self.optimizers.values() for group in one.param_groups]
        self._clip([one for group in groups for one in group["params"]])
        for group in groups:
            group["lr"] = self.learning_rate() * group["factor"]
        for one in self.optimizers.values():
            one.step()
        if self.ranks is not None:
            self.ranks.share_out(self.step_number)
        for one in self.optimizers.values():
            one.zero_grad(set_to_none=True)
        self.step_number += 1
        if self.averaged:
            decay = min(self.decay, self.step_number / (self.step_number + 10))
            with torch.no_grad():
                for name, parameter in self._named():
                    self.averaged[name].lerp_(parameter, 1 - decay)

    def _clip(self, parameters: list[nn.Parameter]) -> None:
        """Sum gradients over the processes, and scale them down to the norm."""
        if self.team.size == 1:
            self.norm = float(nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm))
            return
        self.team.sum_gradients(parameters)
        found = [one.grad for one in parameters if one.grad is not None]
        if found:
            self.norm = float(self.team.norm(found))
            for one in found:
                one.mul_(min(1.0, self.settings.clip_norm / (self.norm + 1e-6)))

    def use_average(self) -> dict[str, Tensor]:
        """Put the averaged weights into the module; returns the others, for `put_back`."""
        kept = {}
        with torch.no_grad():
            for name, parameter in self._named():
                if name in self.averaged:
                    kept[name] = parameter.detach().clone()
                    parameter.copy_(self.averaged[name])
        return kept

    def put_back(self, kept: dict[str, Tensor]) -> None:
        """Undo `use_average`."""
        with torch.no_grad():
            for name, parameter in self._named():
                if name in kept:
                    parameter.copy_(kept[name])

    def save(self, folder: RunFolder, **numbers: Any) -> None:
        """Keep weights, averages, optimizer, buffers and chance in the run folder."""
        # Frozen weights come from where they came from the first time; with LoRA they are nearly all there is.
        frozen = {name for name, one in self.module.named_parameters() if not one.requires_grad}
        tensors = {f"weight/{name}": one for name, one in self.module.state_dict().items() if name not in frozen}
        tensors |= {f"average/{name}": one for name, one in self.averaged.items()}
        for part, one in self.optimizers.items():
            tensors |= {f"{part}/{key}": value for key, value in _flatten(one)}
        if self.ranks is not None:
            tensors |= {f"ranks/{name}": one for name, one in self.ranks.state().items()}
        tensors = {name: whole(one) for name, one in tensors.items()}
        tensors["generator"] = self.generator.get_state()
        # Dropout draws from torch's own generators, in every process from its own.
        for rank, state in enumerate(self.team.gather(torch.get_rng_state())):
            tensors[f"chance/cpu/{rank}"] = state
        if torch.cuda.is_available():
            for rank, state in enumerate(self.team.gather(torch.cuda.get_rng_state())):
                tensors[f"chance/cuda/{rank}"] = state
        folder.save_state(tensors, {"step": self.step_number, **numbers})

    def restore(self, folder: RunFolder) -> dict[str, Any] | None:
        """Load what `save` kept; returns its numbers, or None when there is nothing to go on from."""
        state = folder.load_state()
        if state is None:
            return None
        tensors, numbers = state
        now = self.module.state_dict()
        weights = {name: like(one, now.get(name, one)) for name, one in _part(tensors, "weight/").items()}
        missing, unknown = self.module.load_state_dict(weights, strict=False)
        lost = set(missing) - {name for name, one in self.module.named_parameters() if not one.requires_grad}
        if lost or unknown:
            wrong = ", ".join(sorted([*lost, *unknown])[:3])
            raise TrainingError(
                f"the saved state does not fit what is trained (first: {wrong}). Resume with the code and packages "
                "that began the run, or start again without --resume in another folder."
            )
        named = dict(self._named())
        self.averaged = {
            name: like(one, named[name]).to(named[name].device) for name, one in _part(tensors, "average/").items()
        }
        if self.ranks is not None:
            self.ranks.load(_part(tensors, "ranks/"))
        self.generator.set_state(tensors["generator"])
        # With another number of processes than before, dropout goes on differently, and all else the same.
        if (chance := tensors.get(f"chance/cpu/{self.team.rank}")) is not None:
            torch.set_rng_state(chance)
        if torch.cuda.is_available() and (chance := tensors.get(f"chance/cuda/{self.team.rank}")) is not None:
            torch.cuda.set_rng_state(chance)
        for part, one in self.optimizers.items():
            _unflatten(one, _part(tensors, f"{part}/"))
        self.step_number = int(numbers["step"])
        return numbers

    def _named(self) -> Iterable[tuple[str, nn.Parameter]]:
        return ((name, one) for name, one in self.module.named_parameters() if one.requires_grad)


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Tell whether Muon should update a parameter: a matrix from hidden states to hidden states.

    Args:
        name: as in `named_parameters`.
        parameter: the weights.
    Returns:
        False for vectors, kernels of convolutions, embeddings and heads: their rows or columns are no hidden states.
    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.
    """
    return parameter.ndim == 2 and not any(part in name for part in ("embed", "lm_head", "classifier", "heads"))


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}


def _flatten(optimizer: Any) -> Iterable[tuple[str, Tensor]]:
    for index, slots in optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            yield f"{index}/{name}", value if isinstance(value, Tensor) else torch.as_tensor(value)


def _unflatten(optimizer: Any, tensors: dict[str, Tensor]) -> None:
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = like(value, parameters[int(index)])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
