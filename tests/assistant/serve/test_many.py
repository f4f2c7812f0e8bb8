"""Many clients at once: nobody gets another's answer, and memory stays as it is."""

import re
import threading
import time
from pathlib import Path

import pytest

from assistant.serve.audit import verify_log

CLIENTS = 32


@pytest.fixture(scope="module")
def crowd(start_server):
    return start_server(requests_per_minute=0, max_waiting=200, max_waiting_each=200)


def ask_all(server, asking, number, rounds, stream):
    """Let each client ask its own questions, all at once; returns the answers by client and round, and how many
    were seen in the model at once."""
    made, most = {}, 0

    def ask(name):
        with server.client() as client:
            for turn in range(rounds):
                wishes = {"model": "tiny", "messages": asking(f"What is number {name}?", seed=name * 100 + turn)}
                if stream:
                    parts = list(client.chat.completions.create(**wishes, stream=True))
                    made[name, turn] = parts[-1].model_extra["medassist"]["answer"]
                else:
                    made[name, turn] = client.chat.completions.create(**wishes).choices[0].message.content

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(number)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, server.service.queue.running)
        time.sleep(0.001)
    return made, most


@pytest.mark.parametrize("stream", [False, True])
def test_each_of_many_clients_gets_its_own_answer(crowd, asking, stream):
    together, most = ask_all(crowd, asking, CLIENTS, 1, stream)
    alone, _ = ask_all(crowd, asking, 1, 1, stream)
    assert len(together) == CLIENTS
    assert together[0, 0] == alone[0, 0]
    assert len(set(together.values())) > CLIENTS // 4
    with crowd.client() as client:
        for name in range(0, CLIENTS, 5):
            messages = asking(f"What is number {name}?", seed=name * 100)
            again = client.chat.completions.create(model="tiny", messages=messages).choices[0].message.content
            assert again == together[name, 0]
    assert verify_log(crowd.audit).fault is None
    assert most > 1  # those that waited went through the model together


@pytest.mark.slow
def test_memory_stays_flat_over_two_thousand_requests(crowd, asking):
    def held():
        return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1000

    ask_all(crowd, asking, CLIENTS, 15, stream=False)
    before = held()
    ask_all(crowd, asking, CLIENTS, 63, stream=True)
    assert held() < before * 1.05
