import threading

import pytest

from assistant.serve.jobs import FairQueue, Job
from tests.assistant.serve.conftest import WAIT_S, soon


class Runner:
    """Runs what can be joined step by step, a step whenever it is told to, and remembers who came when."""

    def __init__(self, size=4):
        self.size, self.came = size, []
        self.step = threading.Semaphore(0)
        self.stepped = threading.Semaphore(0)

    def __call__(self, more, model):
        going, ages, count = {}, {}, 0
        while True:
            came = list(more(self.size - len(going)))
            self.came.append(came)
            if not came and not going:
                return
            for one in came:
                going[count], ages[count] = one, 0
                count += 1
            self.stepped.release()
            self.step.acquire()
            for number, one in list(going.items()):
                ages[number] += 1
                if one == "breaks all":
                    raise RuntimeError("the model broke")
                if one == "bad":
                    yield number, ValueError("mine alone")
                    del going[number]
                elif ages[number] == (1 if one.startswith("short") else 3):
                    yield number, f"done {one}"
                    del going[number]


@pytest.fixture
def runner():
    return Runner()


@pytest.fixture
def queue(runner):
    def batch(payloads):
        return [f"batch {one}" for one in payloads]

    made = FairQueue({"texts": batch}, joined=(("chat", "reports"), runner), batch_size=4, max_waiting=50, max_each=50)
    yield made
    for _ in range(200):
        runner.step.release()
    made.close()


def put(queue, payload, client="ann", kind="chat"):
    return queue.submit(Job(kind, client, payload))


def step(runner):
    runner.step.release()
    assert runner.stepped.acquire(timeout=WAIT_S)


def test_who_comes_later_joins_and_the_quick_leave_first(queue, runner):
    slow = put(queue, "long one")
    assert runner.stepped.acquire(timeout=WAIT_S)
    quick = put(queue, "short one", "bob", "reports")
    step(runner)
    step(runner)
    assert not slow.future.done()
    assert quick.future.result(WAIT_S) == "done short one"
    runner.step.release()
    assert slow.future.result(WAIT_S) == "done long one"
    assert runner.came[:2] == [["long one"], ["short one"]]


def test_joining_takes_the_clients_in_turn(queue, runner):
    first = put(queue, "long first")
    assert runner.stepped.acquire(timeout=WAIT_S)
    jobs = [put(queue, f"short g{n}", "greedy") for n in range(4)] + [put(queue, "short b", "bob")]
    step(runner)
    assert runner.came[1] == ["short g0", "short b", "short g1"]
    for _ in range(6):
        runner.step.release()
    assert [job.future.result(WAIT_S) for job in [first, *jobs]] == [f"done {job.payload}" for job in [first, *jobs]]


def test_another_kind_gets_its_turn_though_others_keep_coming(queue, runner):
    first = put(queue, "short first")
    assert runner.stepped.acquire(timeout=WAIT_S)
    text = put(queue, "a text", "bob", "texts")
    later = put(queue, "short later", "cat")
    runner.step.release()
    assert first.future.result(WAIT_S) == "done short first"
    assert text.future.result(WAIT_S) == "batch a text"
    runner.step.release()
    assert later.future.result(WAIT_S) == "done short later"
    assert runner.came[1] == []


def test_an_error_of_one_is_its_own(queue, runner):
    bad, good = put(queue, "bad"), put(queue, "short good", "bob")
    for _ in range(3):
        runner.step.release()
    with pytest.raises(ValueError, match="mine alone"):
        bad.future.result(WAIT_S)
    assert good.future.result(WAIT_S) == "done short good"


def test_when_the_model_breaks_each_is_tried_alone(queue, runner):
    first = put(queue, "long first")
    assert runner.stepped.acquire(timeout=WAIT_S)
    breaking, told = put(queue, "breaks all", "bob"), put(queue, "short told", "cat")
    told.told = True
    for _ in range(8):
        runner.step.release()
    assert first.future.result(WAIT_S) == "done long first"
    with pytest.raises(RuntimeError, match="the model broke"):
        breaking.future.result(WAIT_S)
    with pytest.raises(RuntimeError, match="the model broke"):
        told.future.result(WAIT_S)


def test_a_cancelled_request_never_joins(queue, runner):
    first = put(queue, "long first")
    assert runner.stepped.acquire(timeout=WAIT_S)
    gone = put(queue, "short gone", "bob")
    queue.cancel(gone)
    for _ in range(3):
        runner.step.release()
    assert first.future.result(WAIT_S) == "done long first"
    assert gone.future.cancelled()
    assert all("short gone" not in came for came in runner.came)


def test_the_count_of_running_follows(queue, runner):
    put(queue, "long first")
    assert runner.stepped.acquire(timeout=WAIT_S)
    assert queue.running == 1
    for _ in range(3):
        runner.step.release()
    soon(lambda: not queue.running)
    assert queue.running == 0
