"""A linear and its LoRA in one step forth and one back, with no more memory touched than the products need.

PEFT computes W x, B A x, a multiple of it and a sum one by one, and autocast rounds every one of them; on a CPU that
costs about as much as W x itself. The sums here are the same, in another order of rounding.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


def join_products(network: nn.Module, *, bf16: bool) -> None:
    """Make an adapter's linears compute so, for as long as the model is in memory; what is written stays the same.

    Args:
        network: PEFT's wrapper, of which only the adapter will be written. Linears that are held in fewer bits, that
            train themselves, or whose method is more than a sum (DoRA and others) are left as they are.
        bf16: hold frozen weights in bfloat16, as autocast would cast them in every pass anew.
    """
    from peft import LoraConfig, PeftModel
    from peft.tuners.lora import Linear

    if not isinstance(network, PeftModel) or type(network.peft_config["default"]) is not LoraConfig:
        return
    for module in network.modules():
        if type(module) is not Linear or module.lora_variant or module.fan_in_fan_out:
            continue
        base: Any = module.get_base_layer()
        # The exact type: linears of fewer bits are kinds of this one.
        if type(base) is not nn.Linear or base.weight.requires_grad or set(module.lora_A) != {"default"}:
            continue
        if bf16:
            base.to(torch.bfloat16)
        # Not a class of our own: PEFT looks for its own when it saves and merges.
        vars(module)["forward"] = MethodType(_forward, module)
    head = network.get_output_embeddings() if bf16 else None
    # Where words are read and written by the same weights, reading them must stay exact.
    tied = head is not None and head.weight is network.get_input_embeddings().weight
    if type(head) is nn.Linear and not tied and not head.weight.requires_grad:
        head.to(torch.bfloat16)


def _forward(self: Any, x: Tensor, *arguments: Any, **others: Any) -> Tensor:
    """Take the place of `forward` of PEFT's linear, which goes on where something special is asked for."""
    if self.disable_adapters or self.merged or arguments or others:
        found: Tensor = type(self).forward(self, x, *arguments, **others)
        return found
    base, kind = self.get_base_layer(), x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else base.weight.dtype
    first, second = self.lora_A["default"], self.lora_B["default"]
    dropped = self.lora_dropout["default"](x)
    result: Tensor = _Sum.apply(
        x, None if dropped is x else dropped, base.weight, base.bias, first.weight, second.weight,
        self.scaling["default"], dtype,
    )  # fmt: skip
    if second.bias is not None:
        result = result + second.bias.to(dtype) * self.scaling["default"]
    return result


class _Sum(torch.autograd.Function):
    """W x + b + s B A d, where d is x, or x with dropout; only x, d, A and B have gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dropped: Tensor | None, weight: Tensor, bias: Tensor | None, first: Tensor,
        second: Tensor, scale: float, dtype: torch.dtype,
    ) -> Tensor:  # fmt: skip
        with torch.autocast(x.device.type, enabled=False):
            flat = x.reshape(-1, x.shape[-1]).to(dtype)
            seen = flat if dropped is None else dropped.reshape(-1, x.shape[-1]).to(dtype)
            down, up, held = first.to(dtype), second.to(dtype).mul(scale), weight.to(dtype)
            inner = seen @ down.T
            result = flat @ held.T if bias is None else torch.addmm(bias.to(dtype), flat, held.T)
            result.addmm_(inner, up.T)
        ctx.save_for_backward(seen, inner, down, up, held)
        ctx.scale, ctx.apart, ctx.kinds = scale, dropped is not None, (x.dtype, first.dtype, second.dtype)
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        seen, inner, down, up, held = ctx.saved_tensors
        of_x, of_first, of_second = ctx.kinds
        wants_x, wants_dropped, _, _, wants_first, wants_second, *_ = ctx.needs_input_grad
        shape = gradients[0].shape
        with torch.autocast(seen.device.type, enabled=False):
            result = gradients[0].reshape(-1, shape[-1]).to(seen.dtype)
            of_inner = result @ up
            own = apart = None
            if wants_x:
                own = result @ held
                if not ctx.apart:
                    own.addmm_(of_inner, down)
                own = own.to(of_x).view(*shape[:-1], -1)
            if ctx.apart and wants_dropped:
                apart = (of_inner @ down).to(of_x).view(*shape[:-1], -1)
            first = (of_inner.T @ seen).to(of_first) if wants_first else None
            second = (result.T @ inner).to(of_second).mul_(ctx.scale) if wants_second else None
        return own, apart, None, None, first, second, None, None
