"""What the page does with the models that a visitor may choose from: which there are, choosing one, how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from assistant.ui.panels import header_html, status_line
from assistant.ui.service import AssistantService


@dataclass(frozen=True)
class Models:
    """The functions behind the choice; which model a visitor chose is hers alone, the models are everybody's."""

    service: AssistantService

    def names(self) -> list[tuple[str, str]]:
        """Return the models for a menu: what is shown, and the key on the shelf; none where there is one alone."""
        others = self.service.others
        if others is None:
            return []
        shown = {key: key or others.main for key in self.service.shelf.names}
        return [(f"{name} (adapter)" if others.about[name].adapter else name, key) for key, name in shown.items()]

    def choose(self, key: str) -> tuple[str, str, bool]:
        """Begin to load a model, unless it is in memory; what was asked already is answered by the one before.

        Args:
            key: of the model, from the page.
        Returns:
            The key, the header, and whether it will change by itself.
        """
        key = key if key in self.service.shelf.names else self.service.shelf.names[0]
        self.service.shelf.start(key, again=True)
        return key, *self.look(key)

    def look(self, key: str) -> tuple[str, bool]:
        """Return the header for a visitor who chose this model, and whether it will change by itself."""
        shelf = self.service.shelf
        if self.service.others is None:
            return header_html(self.service), self.service.state == "loading"
        state = shelf.state(key)
        return header_html(self.service, status_line(_css(state), self._words(key))), state == "loading"

    def _words(self, key: str) -> str:
        shelf, others = self.service.shelf, self.service.others
        name = key or (others.main if others else "")
        state, seconds = shelf.state(key), shelf.seconds(key) or 0.0
        if state == "unloaded":
            return f"{name} made room for another model; the next question loads it again."
        if state == "loading":
            return f"Loading {name} … {seconds:.0f} s. You can go on; the answer waits for it."
        if state == "failed":
            return f"{name}: {shelf.failure(key)} Choose another model, or this one again."
        opened = shelf.look(key)
        if opened is None:  # let go a moment ago
            return f"{name} is being let go."
        from assistant.model.weights import all_bytes, own_bytes

        evidence = "with evidence" if opened.index_fingerprint else "without evidence"
        model = opened.assistant.model
        own = f"{own_bytes(model) / 1e6:,.1f} MB" + (" beside its base" if model.base is not None else "")
        held = [found.assistant.model for one in shelf.names if (found := shelf.look(one)) is not None]
        every = f"; {len(held)} models hold {all_bytes(held) / 1e6:,.1f} MB" if len(held) > 1 else ""
        return f"{name} ({opened.model_fingerprint[:8]}), {evidence}. Loaded in {seconds:.1f} s, {own}{every}"


def _css(state: str) -> str:
    return "loading" if state == "unloaded" else state


def named(service: AssistantService, key: str) -> str:
    """Return what a model is called where there are several, for a line under an answer; nothing for a single one."""
    return escape(key or service.others.main) if service.others is not None else ""
