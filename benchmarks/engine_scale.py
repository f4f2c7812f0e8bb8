"""Does an answer cost the same for 64 clients as for one, and for hundreds of pictures as for ten?"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

import assistant
from assistant.chat import MedicalAssistant
from assistant.config import GenerationConfig
from assistant.conversation import Question
from assistant.imaging.load import load_picture
from assistant.imaging.picture import Picture
from assistant.model.load import load_model
from assistant.serve.jobs import FairQueue, Job
from benchmarks.suite import Measured

MOST = 1.1
"""The cost may rise by a tenth."""
CLIENTS = (1, 8, 64)
ANSWERS = 128
IMAGES = (10, 640)
_ASKED = ("What abnormality is seen?", "What kind of image is this?", "Is there a mass?", "Which organ is shown?")


def new_pictures(count: int, start: int = 0) -> list[Picture]:
    """Return the shipped examples, each time changed a little, so that none is known already."""
    folder = Path(assistant.__file__).parent / "starter" / "examples"
    shown = [load_picture(path).pixels for path in sorted(folder.glob("*.png"))]
    made = []
    for number in range(start, start + count):
        pixels = np.array(shown[number % len(shown)])
        pixels[0, 0] = (number % 256, number // 256 % 256, number // 65536)
        made.append(Picture(pixels))
    return made


def questions(count: int, start: int = 0) -> list[Question]:
    """Return questions, each about a picture of its own."""
    return [
        Question(_ASKED[number % len(_ASKED)], (picture,))
        for number, picture in enumerate(new_pictures(count, start), start)
    ]


def scale_clients(device: str) -> list[Measured]:
    """Let clients ask one question after the other, all at once, through the server's own queue."""
    asked = MedicalAssistant(load_model("starter", device=device), settings=GenerationConfig(augment=False))
    joined = (("chat",), lambda more, model: asked.together(16).run(more, eager=True))
    queue = FairQueue({}, joined=joined, batch_size=16, max_waiting=1000, max_each=1000)
    costs: dict[int, float] = {}
    try:
        for place, clients in enumerate((CLIENTS[0], *CLIENTS)):  # the first round warms up
            shown = questions(ANSWERS, place * ANSWERS)
            texts: dict[int, str] = {}
            started = time.process_time()
            threads = [
                threading.Thread(target=_ask, args=(queue, shown, texts, name, clients)) for name in range(clients)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            costs[clients] = (time.process_time() - started) / ANSWERS
            if len(texts) != ANSWERS:
                raise RuntimeError(f"{len(texts)} of {ANSWERS} questions were answered.")
    finally:
        queue.close()
    most = max(costs.values()) / costs[CLIENTS[0]]
    line = Measured(
        "scale_clients", "one client", costs[CLIENTS[0]], costs[CLIENTS[-1]],
        f"dearest answer {most:.2f} times as dear as one client's, at most {MOST}", most <= MOST,
        note="processor time of an answer: "
        + ", ".join(f"{clients} clients {1e3 * cost:.0f} ms" for clients, cost in costs.items()),
    )  # fmt: skip
    return [line]


def _ask(queue: FairQueue, shown: list[Question], texts: dict[int, str], name: int, clients: int) -> None:
    """Ask one client's share of the questions, one after the other."""
    for number in range(name, len(shown), clients):
        texts[number] = queue.submit(Job("chat", str(name), shown[number])).future.result().text
