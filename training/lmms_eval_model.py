"""Our models under lmms-eval, the evaluation harness: `lmms_eval --model medassist --model_args pretrained=starter`.

lmms-eval finds `manifest` through the entry point `lmms_eval.models` that this package declares, and the class through
`Medassist`. Answers are those that the assistant's own parts give, batched, without evidence and without abstaining.
Interface of lmms-eval 0.7: `lmms_eval.api.model.lmms`, simple models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistant.conversation import Question
    from training.evaluation.answers import Asker, Put

MODEL_ID = "medassist"
_PLACEHOLDER = "<image>"


class HarnessAnswers:
    """What a harness asks of a model, answered by one of ours. Needs no harness to be installed.

    Args:
        pretrained: `starter` or a model folder.
        device: auto, cpu, cuda, cuda:1.
        batch_size: questions that go through the model together.
    """

    def __init__(self, pretrained: str = "starter", device: str = "auto", batch_size: int = 16) -> None:
        from assistant.config import GenerationConfig
        from assistant.model.load import load_model

        self._model = load_model(pretrained, device=device)
        self._settings = GenerationConfig(batch_size=batch_size)
        self._askers: dict[tuple[int, float], Asker] = {}

    def generate(self, contexts: Sequence[str], images: Sequence[Sequence[Any]], **limits: Any) -> list[str]:
        """Answer questions.

        Args:
            contexts: texts of the questions, with what the task puts around them.
            images: of each, Pillow images or paths.
            **limits: `max_new_tokens` and `temperature`, as the task sets them; others are passed over.

        Returns:
            An answer to each; an empty one where the model wrote nothing.
        """
        puts = [put(text, shown) for text, shown in zip(contexts, images, strict=True)]
        replies = self._asker(limits).ask(puts)
        return [reply.text for reply in replies]

    def loss(self, context: str, continuation: str, images: Sequence[Any]) -> tuple[float, bool]:
        """Weigh an answer.

        Args:
            context: text of the question.
            continuation: the answer.
            images: Pillow images or paths.

        Returns:
            The negative log-likelihood of the answer with its end, of which the harness takes the least; and whether
            it is what the model writes by itself.
        """
        scores, written = self._asker({}).weigh(put(context, images).request, [continuation.strip()])
        return -scores[0], written.strip() == continuation.strip()

    def _asker(self, limits: dict[str, Any]) -> Asker:
        from dataclasses import replace

        from training.evaluation.answers import Asker

        longest = int(limits.get("max_new_tokens") or self._settings.max_new_tokens)
        temperature = float(limits.get("temperature") or 0.0)
        if (longest, temperature) not in self._askers:
            settings = replace(self._settings, max_new_tokens=longest, temperature=temperature)
            self._askers[longest, temperature] = Asker(self._model, settings)
        return self._askers[longest, temperature]


def put(context: str, images: Sequence[Any]) -> Put:
    """Return a harness's question for our models.

    Args:
        context: text; image placeholders in it go, for the pictures stand before it anyhow.
        images: Pillow images or paths.

    Returns:
        The whole text, with its first line as the question itself where that ends in a question mark: what a task
        adds below ("Answer with a single word or phrase.") must not turn a yes-or-no question into another.
    """
    import numpy as np

    from assistant.conversation import Question
    from assistant.imaging.load import load_picture
    from assistant.imaging.picture import Picture
    from training.evaluation.answers import Put

    pictures = tuple(
        Picture(np.asarray(one.convert("RGB"), dtype=np.uint8)) if hasattr(one, "convert") else load_picture(one)
        for one in images
    )
    text = context.replace(_PLACEHOLDER, " ").strip()
    first = text.splitlines()[0].strip() if text else ""
    whole: Question = Question(text, pictures)
    return Put(whole, Question(first if first.endswith("?") else text, pictures))


def manifest() -> Any:
    """Return what lmms-eval registers: the name and where the class is."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id=MODEL_ID, simple_class_path=f"{__name__}.Medassist")


@lru_cache(maxsize=1)
def _harness_class() -> type:
    """Make the class when it is asked for, so that this module can be read where lmms-eval is not installed."""
    from lmms_eval.api.model import lmms

    class Medassist(lmms):  # type: ignore[misc]
        """One of our models, as lmms-eval calls it."""

        is_simple = True

        def __init__(
            self, pretrained: str = "starter", device: str = "auto", batch_size: int | str = 16, **others: Any
        ):
            super().__init__()
            unknown = sorted(name for name in others if name != "max_batch_size")
            if unknown:
                raise ValueError(f"medassist takes pretrained, device and batch_size, not {', '.join(unknown)}.")
            self._answers = HarnessAnswers(pretrained, device, int(batch_size))

        def generate_until(self, requests: list[Any]) -> list[str]:
            """Answer every request; requests with equal settings go together."""
            return answer_requests(self._answers, requests, self._images)

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            """Weigh every continuation."""
            found = []
            for context, target, visual, doc_id, task, split in (request.args for request in requests):
                text = target if isinstance(target, str) else target(self.task_dict[task][split][doc_id])
                found.append(self._answers.loss(context, text, self._images(visual, doc_id, task, split)))
            return found

        def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
            """Refuse tasks of several rounds."""
            raise NotImplementedError("medassist answers tasks of one round; choose another task.")

        def _images(self, visual: Callable[[Any], Any] | None, doc_id: Any, task: str, split: str) -> list[Any]:
            found = visual(self.task_dict[task][split][doc_id]) if visual else []
            return list(found or [])

    return Medassist


def answer_requests(answers: HarnessAnswers, requests: Sequence[Any], images: Callable[..., list[Any]]) -> list[str]:
    """Answer a harness's requests, those with equal settings together.

    Args:
        answers: of the model.
        requests: with `args`: context, settings, a function that gives images, document id, task and split.
        images: takes the last four, gives the images.

    Returns:
        An answer to each, in order, cut at the task's stop words.
    """
    groups: dict[str, list[int]] = {}
    for row, request in enumerate(requests):
        groups.setdefault(repr(sorted(request.args[1].items(), key=str)), []).append(row)
    made: dict[int, str] = {}
    for rows in groups.values():
        settings = requests[rows[0]].args[1]
        texts = [requests[row].args[0] for row in rows]
        shown = [images(*requests[row].args[2:]) for row in rows]
        limits = {name: settings[name] for name in ("max_new_tokens", "temperature") if settings.get(name)}
        if not settings.get("do_sample", True):
            limits.pop("temperature", None)
        for row, text in zip(rows, answers.generate(texts, shown, **limits), strict=True):
            made[row] = until(text, settings.get("until") or [])
    return [made[row] for row in range(len(requests))]


def until(text: str, stops: str | Sequence[str]) -> str:
    """Return a text up to the first of some stop words; stops of white space alone cut only what they follow."""
    for stop in [stops] if isinstance(stops, str) else stops:
        if stop and text.strip():
            text = text.strip().split(stop)[0]
    return text


def __getattr__(name: str) -> Any:
    if name == "Medassist":
        return _harness_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
