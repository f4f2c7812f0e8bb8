import threading

import pytest

from assistant.errors import AssistantError, ModelError
from assistant.ui.service import AssistantService


def test_the_page_need_not_wait_for_the_model(opened):
    gate = threading.Event()

    def load():
        gate.wait(60)
        return opened

    service = AssistantService(load)
    service.start()
    assert service.state == "loading"
    with pytest.raises(AssistantError, match="has not loaded within 0 s"):
        service.get(timeout_s=0.01)
    gate.set()
    assert service.get() is opened
    assert service.state == "ready"


def test_the_model_is_loaded_once(opened):
    calls = []
    service = AssistantService(lambda: calls.append(1) or opened)
    for _ in range(3):
        service.start()
        service.get()
    assert calls == [1]


def test_a_failure_to_load_keeps_its_mend():
    def refuse():
        raise ModelError("The weights do not fit. Restore the folder.")

    service = AssistantService(refuse)
    with pytest.raises(AssistantError, match="Restore the folder"):
        service.get()
    assert (service.state, service.failure) == ("failed", "The weights do not fit. Restore the folder.")


def test_a_fault_of_the_program_is_told_by_its_kind_only():
    def fail():
        raise RuntimeError("/home/someone/secret")

    service = AssistantService(fail)
    with pytest.raises(AssistantError, match=r"could not be loaded \(RuntimeError\)"):
        service.get()
    assert "secret" not in (service.failure or "")
