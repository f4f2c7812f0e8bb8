"""What every training loop needs: AdamW with a schedule, averaged weights, one source of chance, and a full state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from assistant.errors import TrainingError
from training.adapter_ranks import find_ranks
from training.recipe import OptimizerSettings
from training.run_folder import RunFolder
from training.sharding import is_sharded, like, whole
from training.team import Team
from training.tuning_settings import PackedSettings
from training.zero import ZeroLayers, is_spread, layer_weights

BETAS = (0.9, 0.98)
"""Of AdamW."""


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
        groups: dict[tuple[float, float, str, bool], list[nn.Parameter]] = {}
        layers = layer_weights(module) if self.team.sharding == "ZeRO-3" else set()
        for name, parameter in named:
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            factor = next((value for prefix, value in (slow or {}).items() if name.startswith(prefix)), 1.0)
            kind = "muon" if settings.name == "muon" and is_hidden_matrix(name, parameter) else "optimizer"
            sharded = is_sharded(parameter) or id(parameter) in layers
            if kind == "muon" and sharded:
                by = self.team.sharding
                raise TrainingError(f"optimizer.name muon needs whole matrices, which {by} spreads out; use adamw.")
            kind = "zero" if id(parameter) in layers else kind
            groups.setdefault((decay, factor, kind, sharded), []).append(parameter)

        def of(kind: str) -> list[dict[str, Any]]:
            return [
                {"params": ps, "weight_decay": d, "factor": f} for (d, f, by, _), ps in groups.items() if by == kind
            ]

        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        if of("optimizer"):
            self.optimizers["optimizer"] = torch.optim.AdamW(of("optimizer"), lr=settings.lr, betas=BETAS, fused=True)
        if of("muon"):
            self.optimizers["muon"] = torch.optim.Muon(of("muon"), lr=settings.lr, adjust_lr_fn="match_rms_adamw")
        self.zero = ZeroLayers(module, of("zero"), betas=BETAS, average=bool(average)) if layers else None
        self.averaged = {name: parameter.detach().clone() for name, parameter in self._named()} if average else {}
        self.ranks = find_ranks(module, steps)

    def learning_rate(self) -> float:
        """Return the learning rate of the coming step: linear warm-up, then half a cosine."""
        warm = min(1.0, (self.step_number + 1) / max(1, self.settings.warmup_steps))
        rest = 0.5 + 0.5 * math.cos(math.pi * min(1.0, self.step_number / max(1, self.steps)))
        low = self.settings.final_lr_share
        return self.settings.lr * warm * (low + (1 - low) * rest)

    def backward(self, loss: Tensor, *, last: bool = False) -> None:
        """Back-propagate a part of a step.

        Args:
            loss: of the part; the parts' losses sum to the step's.
            last: whether it is the step's last.
        """
        if self.zero is None:
            loss.backward()
        else:
            self.zero.backward(loss, last=last)

    def update(self, loss: Tensor | None = None) -> None:
        """Back-propagate and take one step.

        Args:
            loss: of the step, or of its last part; None where this process has none left.
        """
        if loss is not None:
            self.backward(loss, last=True)
        if self.ranks is not None:
            # Gradients are summed over the processes, and this one is the same in all.
            self.ranks.keep_orthogonal(1 / self.team.size)
        groups = [group for one in self.optimizers.values() for group in one.param_groups]
        scale = self._clip([one for group in groups for one in group["params"]])
        for group in groups:
            group["lr"] = self.learning_rate() * group["factor"]
        for one in self.optimizers.values():
            one.step()
        if self.zero is not None:
            self.zero.step(self.learning_rate(), scale)
        if self.ranks is not None:
            self.ranks.share_out(self.step_number)
        for one in self.optimizers.values():
            one.zero_grad(set_to_none=True)
        self.step_number += 1
        if self.decay:
            decay = min(self.decay, self.step_number / (self.step_number + 10))
            with torch.no_grad():
                for name, parameter in self._named():
                    self.averaged[name].lerp_(parameter, 1 - decay)
            if self.zero is not None:
                self.zero.follow(decay)

    def _clip(self, parameters: list[nn.Parameter]) -> float:
        """Sum gradients over the processes, and scale them down to the norm; returns by how much."""
        if self.team.size == 1:
            self.norm = float(nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm))
            return 1.0
        self.team.sum_gradients(parameters)
        found = [one.grad for one in parameters if one.grad is not None]
        pieces = self.zero.gradients() if self.zero is not None else []
        if not found and not pieces:
            return 1.0
        self.norm = float(self.team.norm(found, pieces))
        scale = min(1.0, self.settings.clip_norm / (self.norm + 1e-6))
        for one in found:
            one.mul_(scale)
        return scale

    def use_average(self) -> dict[str, Tensor]:
        """Put the averaged weights into the module; returns the others, for `put_back`."""
        kept = {}
        if self.zero is not None:
            self.zero.use_average()
        with torch.no_grad():
            for name, parameter in self._named():
                if name in self.averaged:
                    kept[name] = parameter.detach().clone()
                    parameter.copy_(self.averaged[name])
        return kept

    def put_back(self, kept: dict[str, Tensor]) -> None:
        """Undo `use_average`; not for layers under ZeRO-3, which are written and no more used."""
        with torch.no_grad():
            for name, parameter in self._named():
                if name in kept:
                    parameter.copy_(kept[name])

    def save(self, folder: RunFolder, **numbers: Any) -> None:
        """Keep weights, averages, optimizer, buffers and chance in the run folder."""
        # Frozen weights come from where they came from the first time; with LoRA they are nearly all there is.
        # Those that ZeRO-3 spreads are empty here, and come from it.
        left = {name for name, one in self.module.named_parameters() if not one.requires_grad or is_spread(one)}
        found = {f"weight/{name}": one for name, one in self.module.state_dict().items() if name not in left}
        found |= {f"average/{name}": one for name, one in self.averaged.items()}
        found |= self._remembered()
        if self.ranks is not None:
            found |= {f"ranks/{name}": one for name, one in self.ranks.state().items()}
        tensors: dict[str, Tensor] = {}
        for name, one in chain(found.items(), self.zero.state() if self.zero is not None else ()):
            put_together = whole(one)
            # One process writes; in the others what is put together is let go again.
            if self.team.main:
                tensors[name] = put_together.cpu() if self.team.sharded else put_together
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
        now, spread = self.module.state_dict(), self.zero.named if self.zero is not None else {}
        kept = _part(tensors, "weight/")
        weights = {name: like(one, now.get(name, one)) for name, one in kept.items() if name not in spread}
        missing, unknown = self.module.load_state_dict(weights, strict=False)
        named = dict(self._named())
        needless = {name for name, _ in self.module.named_parameters()} - named.keys()
        lost = {*(set(missing) - needless), *(spread.keys() - kept.keys())}
        lost |= {key.split("/")[1] for key in tensors if key.startswith(("optimizer/", "muon/"))} - now.keys()
        if lost or unknown:
            wrong = ", ".join(sorted([*lost, *unknown])[:3])
            raise TrainingError(
                f"the saved state does not fit what is trained (first: {wrong}). Resume with the code and packages "
                "that began the run, or start again without --resume in another folder."
            )
        self.averaged = {
            name: like(one, named[name]).to(named[name].device)
            for name, one in _part(tensors, "average/").items()
            if name in named
        }
        if self.zero is not None:
            self.zero.load(tensors)
        if self.ranks is not None:
            self.ranks.load(_part(tensors, "ranks/"))
        self.generator.set_state(tensors["generator"])
        # With another number of processes than before, dropout goes on differently, and all else the same.
        if (chance := tensors.get(f"chance/cpu/{self.team.rank}")) is not None:
            torch.set_rng_state(chance)
        if torch.cuda.is_available() and (chance := tensors.get(f"chance/cuda/{self.team.rank}")) is not None:
            torch.cuda.set_rng_state(chance)
        self._recall(tensors)
        self.step_number = int(numbers["step"])
        return numbers

    def _remembered(self) -> dict[str, Tensor]:
        """Return what the optimizers remember, by the names of the weights: in what order they come does not matter."""
        names = {id(one): name for name, one in self._named()}
        return {
            f"{part}/{names[id(parameter)]}/{slot}": torch.as_tensor(value)
            for part, optimizer in self.optimizers.items()
            for parameter, slots in optimizer.state.items()
            for slot, value in slots.items()
        }

    def _recall(self, tensors: Mapping[str, Tensor]) -> None:
        """Give the optimizers what `_remembered` kept."""
        names = {id(one): name for name, one in self._named()}
        for part, optimizer in self.optimizers.items():
            kept: dict[str, dict[str, Tensor]] = {}
            for key, value in _part(tensors, f"{part}/").items():
                name, slot = key.rsplit("/", 1)
                kept.setdefault(name, {})[slot] = value
            order = [one for group in optimizer.param_groups for one in group["params"]]
            state = {
                place: {slot: like(value, one) for slot, value in kept[names[id(one)]].items()}
                for place, one in enumerate(order)
                if names[id(one)] in kept
            }
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

    def _named(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Return the weights that train and that the optimizers here update."""
        found = ((name, one) for name, one in self.module.named_parameters() if one.requires_grad)
        return ((name, one) for name, one in found if not is_spread(one))


def packed_loop(module: nn.Module, settings: PackedSettings, team: Team | None) -> Loop:
    """Return the loop of a stage that learns from given answers, as its recipe says.

    Args:
        module: what is trained.
        settings: of the stage.
        team: the processes that train together.
    Returns:
        The loop, before its first step.
    """
    return Loop(
        module, settings.optimizer, steps=settings.steps, seed=settings.seed, average=settings.average, team=team
    )


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


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
