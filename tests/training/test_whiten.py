"""The connector's start: directions of very different size come out alike."""

from __future__ import annotations

import torch
from torch import nn

from training.whiten import whiten_connector


class Projector(nn.Module):
    """The two linears of a stock Llava projector."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, hidden), nn.Linear(hidden, hidden)


def lopsided(count: int = 400, width: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    sizes = torch.logspace(2, -1, width)
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=generator))
    return (torch.randn(count, 4, width, generator=generator) * sizes) @ turn + 5.0


def test_first_layer_gives_every_direction_one_size():
    features, projector = lopsided(), Projector(12, 12)
    whiten_connector(projector, features, least=0.0)
    out = projector.linear_1(features).flatten(0, 1)
    assert torch.allclose(out.mean(dim=0), torch.zeros(12), atol=1e-3)
    assert torch.allclose(torch.cov(out.T), torch.eye(12), atol=1e-2)


def test_least_keeps_tiny_directions_tiny():
    features, projector = lopsided(), Projector(12, 12)
    whiten_connector(projector, features, least=0.05)
    spread = torch.linalg.eigvalsh(torch.cov(projector.linear_1(features).flatten(0, 1).T))
    assert spread[0] < 0.01
    assert 0.9 < spread[-1] <= 1.0


def test_a_wider_connector_is_filled_without_loss():
    features, projector = lopsided(), Projector(12, 20)
    whiten_connector(projector, features, least=0.0)
    assert torch.linalg.matrix_rank(projector.linear_1.weight) == 12
    assert torch.isfinite(projector.linear_2(projector.linear_1(features))).all()


def test_the_same_seed_gives_the_same_start():
    one, other = Projector(12, 12), Projector(12, 12)
    for projector in (one, other):
        whiten_connector(projector, lopsided(), seed=4)
    assert torch.equal(one.linear_1.weight, other.linear_1.weight)
    assert torch.equal(one.linear_2.weight, other.linear_2.weight)
