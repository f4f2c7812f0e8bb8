"""Which kind of image is it, and of which region? `DomainRouter` tells from an image's embedding alone.

It holds the embedding against texts such as "MRI of the brain", several wordings of each pair of modality and region
(a prompt ensemble), and turns the cosines into probabilities. Temperature and one offset a pair are fitted by
`python -m retrieval.domain`; nothing of the encoder changes.

Source: zero-shot classification by prompt ensembles, Radford et al., ICML 2021; temperature scaling, Guo et al., ICML
2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.domain import Domain
from assistant.errors import RetrievalError

if TYPE_CHECKING:
    from retrieval.encoder import Encoder

PROMPTS: tuple[str, ...] = (
    "{modality}",
    "{anatomy} {modality}",
    "a {modality} image",
    "{modality}: {anatomy}",
    "{modality} of the {anatomy}",
    "{modality} of the {anatomy}, one image",
    "this is a {modality} of the {anatomy}",
    "{modality} showing the {anatomy}",
)
"""Wordings whose mean vector stands for a modality and a region."""

FIT_AGAIN = "Fit it again: python -m retrieval.domain INDEX --data DIR --fit"

_EVENLY = 1e-2
_STEPS = 200


@dataclass(frozen=True)
class DomainFit:
    """What fitting gives, and what a manifest keeps under `domain`. C pairs."""

    pairs: tuple[tuple[str, str], ...]
    """(modality, region), each once."""
    scale: float
    """What cosines are multiplied with: the inverse of the temperature."""
    offsets: tuple[float, ...]
    """(C,) added to the scaled cosines."""
    pictures: int
    """How many it was fitted on."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "pairs": [list(pair) for pair in self.pairs],
            "scale": round(self.scale, 4),
            "offsets": [round(one, 4) for one in self.offsets],
            "pictures": self.pictures,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DomainFit:
        """Read back what `to_dict` gave.

        Args:
            values: a manifest's `domain`.
        Returns:
            The fit.
        Raises:
            RetrievalError: it is not of that form.
        """
        try:
            fit = cls(
                tuple((str(modality), str(region)) for modality, region in values["pairs"]),
                float(values["scale"]),
                tuple(float(one) for one in values["offsets"]),
                int(values["pictures"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RetrievalError(f"The manifest's domain cannot be read ({error!r}). {FIT_AGAIN}") from error
        if not fit.pairs or len(fit.pairs) != len(fit.offsets):
            raise RetrievalError(
                f"The manifest's domain has {len(fit.offsets)} offsets for {len(fit.pairs)} pairs. {FIT_AGAIN}"
            )
        return fit


class DomainRouter:
    """Tells an image's modality and region from its embedding.

    Args:
        prototypes: (C, E) unit length, one a pair of the fit.
        fit: from `fit_domain`.
    """

    def __init__(self, prototypes: np.ndarray, fit: DomainFit) -> None:
        self._prototypes = prototypes.astype(np.float32)
        self.fit = fit

    @classmethod
    def make(cls, encoder: Encoder, fit: DomainFit) -> DomainRouter:
        """Embed the prompts of a fit's pairs; takes a moment, once."""
        return cls(prototypes(encoder, fit.pairs), fit)

    def look(self, joint: np.ndarray) -> Domain:
        """Tell what an image is of.

        Args:
            joint: (E,) unit length, its embedding.
        Returns:
            Probabilities of modalities and regions. They are shared among the fitted pairs: that an image is of
            another kind altogether is for `assistant.guard` to tell, which knows pictures, not words.
        """
        cosines = self._prototypes @ joint.astype(np.float32)
        scores = self.fit.scale * cosines + np.asarray(self.fit.offsets, dtype=np.float32)
        return _domain(self.fit.pairs, scores)


def _domain(pairs: Sequence[tuple[str, str]], scores: np.ndarray) -> Domain:
    """Sum the pairs' shares by modality; a modality with many regions is no likelier for it."""
    modalities: dict[str, float] = {}
    regions: dict[str, float] = {}
    within: dict[str, dict[str, float]] = {}
    shares = np.exp(scores - scores.max())
    for modality in dict.fromkeys(pair[0] for pair in pairs):
        rows = [row for row, pair in enumerate(pairs) if pair[0] == modality]
        modalities[modality] = float(shares[rows].mean())
        within[modality] = {pairs[row][1]: float(shares[row] / shares[rows].sum()) for row in rows}
        for row in rows:
            regions[pairs[row][1]] = regions.get(pairs[row][1], 0.0) + float(shares[row]) / len(rows)
    total = sum(modalities.values())
    modality = max(modalities, key=lambda name: modalities[name])
    region = max(regions, key=lambda name: regions[name])
    return Domain(
        modality,
        modalities[modality] / total,
        region,
        regions[region] / total,
        {name: share / total for name, share in modalities.items()},
        within,
    )


def prototypes(encoder: Encoder, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Return the mean text vector of each pair's wordings, (C, E) float32 of length 1."""
    texts = [prompt.format(modality=modality, anatomy=region) for modality, region in pairs for prompt in PROMPTS]
    vectors = encoder.embed_texts(texts).reshape(len(pairs), len(PROMPTS), -1).mean(axis=1)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def fit_domain(encoder: Encoder, joint: np.ndarray, labels: Sequence[tuple[str, str]]) -> DomainFit:
    """Fit temperature and offsets; every modality weighs the same, however many pictures it has.

    Args:
        encoder: embeds the prompts.
        joint: (N, E) unit length, embeddings of pictures.
        labels: (N,) modality and region of each.
    Returns:
        The fit, for every pair among the labels.
    Raises:
        RetrievalError: there are fewer than two modalities to tell apart.
    """
    import torch

    pairs = tuple(sorted(set(labels)))
    names = sorted({modality for modality, _ in pairs})
    if len(names) < 2:
        raise RetrievalError(f"The pictures are all {', '.join(names) or 'gone'}; a router needs two modalities.")
    cosines = torch.from_numpy(joint.astype(np.float32) @ prototypes(encoder, pairs).T)
    own = torch.tensor([[pair[0] == name for pair in pairs] for name in names])
    truth = torch.tensor([names.index(modality) for modality, _ in labels])
    weight = 1.0 / torch.bincount(truth, minlength=len(names)).float()[truth]
    log_scale = torch.tensor(3.0, requires_grad=True)
    offsets = torch.zeros(len(pairs), requires_grad=True)
    search = torch.optim.LBFGS([log_scale, offsets], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        scores = cosines * log_scale.exp() + offsets
        logits = torch.stack([scores[:, row].logsumexp(1) - row.sum().log() for row in own], dim=1)
        each = torch.nn.functional.cross_entropy(logits, truth, reduction="none")
        value = (each * weight).sum() / weight.sum() + _EVENLY * offsets.square().mean()
        value.backward()
        return value

    search.step(loss)
    return DomainFit(pairs, float(log_scale.detach().exp()), tuple(offsets.tolist()), len(labels))
