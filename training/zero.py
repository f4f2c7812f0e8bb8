"""DeepSpeed's ZeRO-3 under the stages: layers, their gradients and their optimizer state are spread over processes.

DeepSpeed's own checkpoints are pickled, which nothing here reads or writes. So it is asked for the weights and moments
that the processes hold, through its public functions, and they go into the run's own state: whole, in safetensors,
under the names that a run of one process gives them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from assistant.errors import TrainingError

_SLOTS = ("exp_avg", "exp_avg_sq")
"""What AdamW remembers of every weight."""


def check_launch(environment: Mapping[str, str]) -> None:
    """Refuse a launch with DeepSpeed that asks for what is not supported.

    Args:
        environment: that `accelerate launch` has set.
    Raises:
        TrainingError: tells everything that is wrong, and the configuration that works.
    """
    wrong = []
    stage = environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    if stage != "3":
        wrong.append(f"zero_stage is {stage}; only 3 is supported (where the whole model fits a GPU, take gpus.yaml)")
    for part in ("optimizer", "param"):
        device = environment.get(f"ACCELERATE_DEEPSPEED_OFFLOAD_{part.upper()}_DEVICE", "none")
        if device != "none":
            wrong.append(f"offload_{part}_device is {device}; only none is supported")
    file = environment.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if file.lower() != "none":
        wrong.append(f"deepspeed_config_file is {file}; the recipe says all that stands there, so take it out")
    if wrong:
        raise TrainingError(
            f"this launch with DeepSpeed has {len(wrong)} mistake(s): {'; '.join(wrong)}. The configuration that works "
            "is training/recipes/accelerate/zero3.yaml."
        )


class ZeroLayers:
    """The language model's layers under ZeRO-3; the rest of the model stays whole in every process.

    The layers are what all processes run in every part of a step. Connector, embeddings and head are not: where one
    process has a picture in its part and another has none, waiting for each other would never end.

    Args:
        llava: the model, with what trains switched on; an adapter may sit inside.
        groups: of AdamW, as for `torch.optim`, of those of the layers' parameters that train.
        betas: of AdamW.
        average: keep averages of the weights.
    Raises:
        TrainingError: DeepSpeed is not installed.
    """

    def __init__(
        self, llava: nn.Module, groups: Sequence[dict[str, Any]], *, betas: tuple[float, float], average: bool
    ) -> None:
        deepspeed = _deepspeed()
        mine = {id(one) for group in groups for one in group["params"]}
        self.named = {name: one for name, one in llava.named_parameters() if id(one) in mine}
        # Begun with a rate of 0, so that nothing moves should DeepSpeed try a step to make its room.
        self.adam = torch.optim.AdamW([dict(one) for one in groups], lr=0.0, betas=betas, fused=True)
        model = _language_model(llava)
        spread = _Spread(model.layers, model.norm)
        # A layer is put together as one, as FSDP does it: some adapters read a linear's weights from beside it.
        deepspeed.utils.set_z3_leaf_modules(spread, [type(model.layers[0])])
        self.engine: Any = deepspeed.initialize(model=spread, optimizer=self.adam, config=_settings())[0]
        # A call of the engine is where it counts the parts of a step.
        model.register_forward_pre_hook(lambda *_: self.engine())
        self.size = torch.distributed.get_world_size()
        self.rank = torch.distributed.get_rank()
        self.averaged = {name: one.clone() for name, one in self._local()} if average else {}

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Back-propagate a part of a step.

        Args:
            loss: of the part.
            last: whether it is the step's last.
        """
        self.engine.set_gradient_accumulation_boundary(last)
        self.engine.backward(loss, scale_wrt_gas=False)

    def gradients(self) -> list[Tensor]:
        """Return this process's pieces of the gradients, summed over processes."""
        from deepspeed.utils import safe_get_local_grad

        # DeepSpeed has taken the mean over the processes.
        return [safe_get_local_grad(one) * self.size for one in self.named.values()]

    def step(self, rate: float, scale: float) -> None:
        """Update the weights.

        Args:
            rate: learning rate, to be multiplied by each group's factor.
            scale: of the summed gradients.
        """
        from deepspeed.utils import safe_set_local_grad

        for one, gradient in zip(self.named.values(), self.gradients(), strict=True):
            safe_set_local_grad(one, gradient * scale)
        for group in self.adam.param_groups:
            group["lr"] = rate * group["factor"]
        self.engine.step()

    def follow(self, decay: float) -> None:
        """Move the averages towards the weights."""
        for name, one in self._local():
            if name in self.averaged:
                self.averaged[name].lerp_(one, 1 - decay)

    def use_average(self) -> None:
        """Put the averages in the place of the weights, to be written."""
        from deepspeed.utils import safe_set_local_fp32_param

        for name, one in self.averaged.items():
            safe_set_local_fp32_param(self.named[name], one)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Give what a run must remember, one whole tensor after the other; every process must take all of them."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        steps = [one["step"] for one in self.adam.state.values() if "step" in one]
        for name, one in self.named.items():
            yield f"weight/{name}", safe_get_full_fp32_param(one)
            for slot in _SLOTS if steps else ():
                yield f"optimizer/{name}/{slot}", safe_get_full_optimizer_state(one, slot)
            if steps:
                yield f"optimizer/{name}/step", steps[0]
            if name in self.averaged:
                yield f"average/{name}", self._whole(name, self.averaged[name])

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave, or a run of one process.

        Args:
            tensors: whole ones, by name; every process must have them.
        """
        from deepspeed.runtime.zero import GatheredParameters
        from deepspeed.utils import safe_set_local_fp32_param, safe_set_local_optimizer_state

        self._make_room(tensors)
        for name, one in self.named.items():
            value = tensors[f"weight/{name}"].to(one.device)
            # DeepSpeed holds what is computed with and what is updated apart.
            with GatheredParameters([one], modifier_rank=0), torch.no_grad():
                one.data.copy_(value)
            safe_set_local_fp32_param(one, self._piece(name, value))
            for slot in _SLOTS if self.adam.state else ():
                safe_set_local_optimizer_state(one, self._piece(name, tensors[f"optimizer/{name}/{slot}"]), slot)
            if name in self.averaged:
                self.averaged[name].copy_(self._piece(name, tensors[f"average/{name}"]))

    def _make_room(self, tensors: Mapping[str, Tensor]) -> None:
        """Give AdamW room for its moments, which it makes with its first step otherwise."""
        steps = [one for name, one in tensors.items() if name.endswith("/step")]
        if not steps:
            return
        for flat in self.engine.optimizer.fp32_partitioned_groups_flat:
            self.adam.state[flat] = {
                "step": max(steps, key=float).clone().to(flat.device),
                **{slot: torch.zeros_like(flat) for slot in _SLOTS},
            }

    def _local(self) -> Iterable[tuple[str, Tensor]]:
        from deepspeed.utils import safe_get_local_fp32_param

        return ((name, safe_get_local_fp32_param(one).detach()) for name, one in self.named.items())

    def _piece(self, name: str, value: Tensor) -> Tensor:
        """Return this process's piece of a whole tensor; the last ones are filled up with zeros."""
        from deepspeed.utils import safe_get_local_fp32_param

        like = safe_get_local_fp32_param(self.named[name])
        filled = torch.zeros(like.numel() * self.size, dtype=like.dtype, device=like.device)
        filled[: value.numel()] = value.flatten()
        return filled.chunk(self.size)[self.rank]

    def _whole(self, name: str, piece: Tensor) -> Tensor:
        """Put a tensor together from the pieces of all processes."""
        pieces = [torch.empty_like(piece) for _ in range(self.size)]
        torch.distributed.all_gather(pieces, piece)
        shape: torch.Size = self.named[name].ds_shape  # type: ignore[attr-defined]
        return torch.cat(pieces)[: shape.numel()].view(shape)


def is_spread(tensor: Tensor) -> bool:
    """Tell whether ZeRO-3 has spread a weight over processes."""
    return hasattr(tensor, "ds_id")


def whole_weight(weight: Tensor) -> Tensor:
    """Return a weight that trains, put together; every process must call it."""
    from deepspeed.utils import safe_get_full_fp32_param

    found: Tensor = safe_get_full_fp32_param(weight)
    return found


def layer_weights(llava: nn.Module) -> set[int]:
    """Return the `id` of each parameter that `ZeroLayers` spreads."""
    model = _language_model(llava)
    return {id(one) for part in (model.layers, model.norm) for one in part.parameters()}


class _Spread(nn.Module):
    """What DeepSpeed takes for the whole model: a call of it does nothing but tell that a pass begins."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self) -> None:
        """Begin a pass; the parts are run from where they belong."""


def _language_model(llava: nn.Module) -> Any:
    from assistant.model.parts import bare

    return bare(llava).model.language_model


def _settings() -> dict[str, Any]:
    """Return DeepSpeed's own settings: the spreading alone; batches, clipping and rates are the loop's."""
    return {
        "train_micro_batch_size_per_gpu": 1,  # it must be told one; nothing counts by it
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 0.0,
        "steps_per_print": 1 << 30,
        "zero_allow_untested_optimizer": True,  # fused AdamW, element by element like the one it knows
        "zero_optimization": {"stage": 3},
    }


def _deepspeed() -> Any:
    """Import DeepSpeed, for the kind of device that the processes compute on."""
    if not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true"):
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
    except ImportError as error:
        raise TrainingError(
            "this was launched with DeepSpeed, which is not installed: pip install 'medassist[zero]'. Or take "
            "training/recipes/accelerate/fsdp.yaml, which spreads the same and needs nothing more."
        ) from error
    # It tells every setting, on stdout.
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    return deepspeed
