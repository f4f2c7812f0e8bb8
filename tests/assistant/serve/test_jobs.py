import threading

import pytest

from assistant.serve.jobs import Busy, FairQueue, Job
from tests.assistant.serve.conftest import WAIT_S, soon


class Model:
    """Runs batches when told to, and remembers them."""

    def __init__(self):
        self.batches = []
        self.go = threading.Semaphore(0)
        self.started = threading.Semaphore(0)

    def __call__(self, payloads):
        self.batches.append(list(payloads))
        self.started.release()
        self.go.acquire()
        for one in payloads:
            if isinstance(one, Exception):
                raise one
        return [f"done {one}" for one in payloads]


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def make_queue(model):
    made = []

    def make(**limits):
        values = {"batch_size": 4, "max_waiting": 100, "max_each": 50, **limits}
        made.append(FairQueue({"chat": model, "reports": model}, **values))
        return made[-1]

    yield make
    for _ in range(200):
        model.go.release()
    for queue in made:
        queue.close()


def put(queue, client, payload, kind="chat"):
    return queue.submit(Job(kind, client, payload))


def busy_with(queue, model, client="first"):
    """Let a batch run that ends only when told to."""
    job = put(queue, client, "running")
    model.started.acquire()
    return job


def test_each_batch_takes_one_request_of_each_client_in_turn(make_queue, model):
    queue = make_queue(batch_size=3)
    first = busy_with(queue, model)
    jobs = [put(queue, "greedy", f"g{n}") for n in range(6)] + [put(queue, "ann", "a0"), put(queue, "bob", "b0")]
    for _ in range(10):
        model.go.release()
    assert [job.future.result(WAIT_S) for job in jobs] == [f"done {job.payload}" for job in jobs]
    assert first.future.result(WAIT_S) == "done running"
    assert model.batches == [["running"], ["g0", "a0", "b0"], ["g1", "g2", "g3"], ["g4", "g5"]]


def test_a_batch_holds_one_kind(make_queue, model):
    queue = make_queue()
    busy_with(queue, model)
    jobs = [put(queue, "ann", "a"), put(queue, "bob", "b", "reports"), put(queue, "cat", "c")]
    for _ in range(5):
        model.go.release()
    for job in jobs:
        job.future.result(WAIT_S)
    assert sorted(map(sorted, model.batches[1:])) == [["a", "c"], ["b"]]


def test_a_client_with_too_many_is_told_and_others_are_not(make_queue, model):
    queue = make_queue(max_each=2)
    busy_with(queue, model)
    put(queue, "ann", 1)
    put(queue, "ann", 2)
    with pytest.raises(Busy, match=r"Your 2 requests wait already\. Try again in \d+ s\.") as caught:
        put(queue, "ann", 3)
    assert caught.value.own
    assert caught.value.retry_after_s >= 1
    put(queue, "bob", 1)


def test_a_full_queue_is_told_to_everybody(make_queue, model):
    queue = make_queue(max_waiting=2)
    busy_with(queue, model)
    put(queue, "ann", 1)
    put(queue, "bob", 1)
    with pytest.raises(Busy, match="The server is busy: 2 requests wait already") as caught:
        queue.check("cat")
    assert not caught.value.own


def test_a_cancelled_request_frees_its_place_and_never_runs(make_queue, model):
    queue = make_queue(max_waiting=1)
    busy_with(queue, model)
    job = put(queue, "ann", "gone")
    queue.cancel(job)
    assert queue.waiting == 0
    other = put(queue, "bob", "stays")
    for _ in range(3):
        model.go.release()
    assert other.future.result(WAIT_S) == "done stays"
    assert job.future.cancelled()
    assert ["gone"] not in model.batches


def test_a_request_that_is_cancelled_while_it_runs_is_told_so(make_queue, model):
    queue = make_queue()
    job = busy_with(queue, model)
    queue.cancel(job)
    assert job.cancelled.is_set()
    assert job.future.cancelled()
    model.go.release()
    model.go.release()
    assert put(queue, "bob", "next").future.result(WAIT_S) == "done next"


def test_one_bad_request_does_not_take_its_batch_with_it(make_queue, model):
    queue = make_queue()
    busy_with(queue, model)
    jobs = [put(queue, "ann", "a"), put(queue, "bob", ValueError("mine alone")), put(queue, "cat", "c")]
    for _ in range(10):
        model.go.release()
    assert jobs[0].future.result(WAIT_S) == "done a"
    assert jobs[2].future.result(WAIT_S) == "done c"
    with pytest.raises(ValueError, match="mine alone"):
        jobs[1].future.result(WAIT_S)


def test_what_a_client_has_read_is_not_written_again(make_queue, model):
    queue = make_queue()
    busy_with(queue, model)
    told, bad = put(queue, "ann", "a"), put(queue, "bob", ValueError("mine alone"))
    told.told = True
    for _ in range(10):
        model.go.release()
    with pytest.raises(ValueError, match="mine alone"):
        told.future.result(WAIT_S)
    with pytest.raises(ValueError, match="mine alone"):
        bad.future.result(WAIT_S)
    assert ["a"] not in model.batches


def test_closing_cancels_what_waits(make_queue, model):
    queue = make_queue()
    busy_with(queue, model)
    job = put(queue, "ann", "waits")
    threading.Timer(0.1, model.go.release).start()
    queue.close()
    assert job.future.cancelled()
    with pytest.raises(Busy):
        put(queue, "ann", "late")


def test_many_threads_lose_nothing(make_queue, model):
    for _ in range(2000):
        model.go.release()
    queue = make_queue(batch_size=8, max_waiting=1000, max_each=1000)
    results = {}

    def client(name):
        for number in range(50):
            results[name, number] = put(queue, name, (name, number)).future.result(WAIT_S)

    threads = [threading.Thread(target=client, args=(f"c{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {key: f"done {key}" for key in results}
    assert len(results) == 400
    soon(lambda: not queue.running)  # the last batch is counted as over just after its clients are told
    assert queue.waiting == queue.running == 0
