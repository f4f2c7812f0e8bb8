"""Losses that train a search by the likelihood of the answer, from two small tables of numbers."""

from __future__ import annotations

from torch import Tensor


def marginal_loss(search: Tensor, answers: Tensor) -> Tensor:
    """Return minus the log-likelihood of the answers over passages, each as likely as the search holds it.

    Its gradient raises a passage in the search by how much likelier than the rest it makes the answer, and trains the
    language model most on the passage that bears the answer.

    Args:
        search: (B, K) log-probability of each passage, over the K that were found.
        answers: (B, K) log-likelihood of the true answer with that passage, in nats.
    Returns:
        A scalar: the mean over questions.
    Source: Lewis et al., Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks, 2020 (RAG-Sequence).
    """
    return -(search + answers).logsumexp(dim=1).mean()


def distill_loss(search: Tensor, answers: Tensor, beta: float) -> Tensor:
    """Return how far the search is from the likelihood of the answer, plus the model's own loss.

    Args:
        search: (B, K) log-probability of each passage, over the K that were found.
        answers: (B, K) log-likelihood of the true answer with that passage, in nats.
        beta: smaller is sharper.
    Returns:
        A scalar: the divergence of the search from the softmax of `answers` / beta, which trains the search alone,
        and minus the answers' mean log-likelihood under the search, which trains the language model alone.
    Source: Shi et al., REPLUG: Retrieval-Augmented Black-Box Language Models, 2023 (LSR).
    """
    wanted = (answers.detach() / beta).log_softmax(dim=1)
    divergence = (wanted.exp() * (wanted - search)).sum(dim=1).mean()
    return divergence - (search.detach().exp() * answers).sum(dim=1).mean()
