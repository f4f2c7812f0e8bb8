"""Products in 8 bits are exact sums, of use, or refused."""

from types import SimpleNamespace

import pytest
import torch

from assistant.errors import ModelError
from assistant.model import eight_bits
from assistant.model.eight_bits import EightBits, why_not

here = pytest.mark.skipif(why_not() is not None, reason=f"8 bits are of no use on this machine: {why_not()}")


@here
def test_the_sums_are_those_of_whole_numbers():
    torch.manual_seed(0)
    weight, rows = torch.randn(48, 64), torch.randn(5, 64) * torch.tensor([[1e-3], [1.0], [50.0], [1.0], [0.0]])
    scale, own = weight.abs().amax(1) / 127, rows.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
    whole = (rows / own).round() @ (weight / scale[:, None]).round().T
    assert torch.allclose(EightBits(weight, 16)(rows), whole * scale * own, rtol=1e-5, atol=1e-7)


@here
def test_a_row_does_not_depend_on_the_others():
    torch.manual_seed(1)
    made, rows = EightBits(torch.randn(32, 64), 16), torch.randn(7, 64)
    assert torch.equal(made(rows)[3:4], made(rows[3:4]))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda *_: torch.zeros(192, 192), "its sums of 8-bit products are cut off"),
        (lambda *_: (_ for _ in ()).throw(RuntimeError("no qlinear\nmore")), "RuntimeError: no qlinear"),
    ],
)
def test_where_it_cannot_be_done_that_is_said(monkeypatch, fault, said):
    monkeypatch.setattr(eight_bits, "_product", fault)
    why_not.cache_clear()
    try:
        assert why_not() == said
        with pytest.raises(ModelError, match=rf"8 bits are not to be had on this machine: {said}\. Use bfloat16"):
            EightBits(torch.zeros(2, 2), 1)
    finally:
        why_not.cache_clear()


def test_a_slow_processor_is_found_out(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(eight_bits, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    monkeypatch.setattr(eight_bits, "_product", lambda *_: torch.full((192, 192), float(127 * 127 * 192)))
    monkeypatch.setattr(eight_bits, "_pack", lambda whole, rows: whole)
    why_not.cache_clear()
    try:
        assert why_not() == "it has no quick products of 8 bits"
    finally:
        why_not.cache_clear()
