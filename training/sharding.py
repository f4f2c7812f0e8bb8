"""Weights spread over processes, as PyTorch's FSDP does it: each holds a part, and a layer is whole as it computes."""

from __future__ import annotations

import os

import torch.distributed as dist
from torch import Tensor, nn

from training.zero import is_spread, whole_weight


def shard_layers(llava: nn.Module, device: str) -> None:
    """Spread the language model's layers over all processes, in place; each is put together when it is needed.

    The rest (embeddings, head, connector, tower) stays whole in every process: it is small beside the layers, and used
    outside their order.

    Args:
        llava: the model, with what trains switched on; an adapter may sit inside.
        device: "cpu" or "cuda".
    Source: Zhao et al., PyTorch FSDP, 2023; as torch.distributed.fsdp.fully_shard does it.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from assistant.model.parts import bare

    model = bare(llava).model.language_model
    again = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false"
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    for layer in model.layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=again)
    outside = set(model.embed_tokens.parameters())
    fully_shard(model, mesh=mesh, reshard_after_forward=again, ignored_params=outside)
    for unit in (*model.layers, model):
        # The parts of a step sum to its loss; FSDP would take the mean over processes.
        unit.set_force_sum_reduction_for_comms(True)
        unit.set_gradient_divide_factor(1.0)


def is_sharded(tensor: Tensor) -> bool:
    """Tell whether a tensor is spread over processes."""
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor put together from its parts; every process must call it."""
    if is_spread(tensor):
        return whole_weight(tensor)
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def like(tensor: Tensor, model: Tensor) -> Tensor:
    """Return a whole tensor spread over processes as `model` is, or as it is if `model` is whole."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(model, DTensor) or isinstance(tensor, DTensor) or tensor.shape != model.shape:
        return tensor
    return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements)
