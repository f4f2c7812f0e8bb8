import pytest
import torch
from torch import nn

from assistant.engine.linears import Int8Linear, PackedLinear, bucket, can_pack, plain_linears, with_linears

ALWAYS = (True, True, True)
needs_packing = pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")


def linear(bias, dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Linear(40, 24, bias=bias).to(dtype).requires_grad_(False)


@needs_packing
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("shape", [(1, 40), (3, 7, 40), (200, 40)])
def test_a_packed_linear_gives_the_same_sums(bias, dtype, most, shape):
    plain = linear(bias, dtype)
    hidden = torch.randn(shape).to(dtype)
    with torch.inference_mode():
        found, wanted = PackedLinear(plain, ALWAYS)(hidden), plain(hidden)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) < most


@needs_packing
def test_the_usual_weight_is_read_where_it_is_quicker():
    plain = linear(True)
    mixed = PackedLinear(plain, (False, False, True))
    hidden = torch.randn(2, 40)
    assert torch.equal(mixed(hidden), plain(hidden))
    assert [bucket(rows) for rows in (1, 2, 64, 65)] == [0, 1, 1, 2]


@needs_packing
@pytest.mark.parametrize("bias", [True, False])
def test_eight_bits_are_near_and_do_not_depend_on_the_neighbours(bias):
    plain = linear(bias)
    eight = Int8Linear(plain)
    hidden = torch.randn(5, 40)
    with torch.inference_mode():
        found, wanted = eight(hidden), plain(hidden)
        loud = eight(torch.cat([hidden[:1], 100 * hidden[1:]]))
    assert float((found - wanted).norm() / wanted.norm()) < 0.02
    assert torch.equal(loud[0], found[0])


class Adapter(nn.Module):
    """Has its base inside, as a LoRA layer does."""

    def __init__(self):
        super().__init__()
        self.base_layer = nn.Linear(4, 4)


def test_the_model_stays_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Sequential(nn.Linear(4, 4)), Adapter())
    before = {name: one.data_ptr() for name, one in model.state_dict().items()}
    kinds = [type(one) for one in model.modules()]
    made = with_linears(model, lambda one: nn.Identity())
    assert {name: one.data_ptr() for name, one in model.state_dict().items()} == before
    assert [type(one) for one in model.modules()] == kinds
    assert isinstance(made[0], nn.Identity)
    assert isinstance(made[2][0], nn.Identity)
    assert made[1] is model[1]
    assert made[3] is model[3]
    assert len(plain_linears(model)) == 2
    assert with_linears(model, lambda one: one) is model
