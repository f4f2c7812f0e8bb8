import pytest

from assistant.serve.errors import as_api_error
from assistant.serve.upstream_breaker import FAILURES, Breaker, UpstreamError


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_some_failures_in_a_row_shut_the_way_once(clock):
    opened = []
    breaker = Breaker("http://far/v1", lambda: opened.append(1), clock)
    for _ in range(FAILURES - 1):
        breaker.failed("ReadError")
    breaker.check()
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed("ReadError")
    breaker.check()
    breaker.failed("ReadError")
    breaker.failed("ReadError")
    assert breaker.is_open
    assert opened == [1]


def test_who_asks_meanwhile_is_told_when_to_come_again(clock):
    breaker = Breaker("http://far/v1", clock=clock)
    breaker.failed("ConnectError", surely=True)
    with pytest.raises(UpstreamError, match=r"http://far/v1 does not answer \(ConnectError\)\. .* come back in 2 s"):
        breaker.check()
    breaker.probed_in(8.0)
    clock.now = 3.0
    with pytest.raises(UpstreamError) as caught:
        breaker.check()
    told = as_api_error(caught.value)
    assert (told.status, told.code, told.headers) == (503, "upstream_unavailable", {"Retry-After": "6"})


def test_an_answer_opens_it_again(clock):
    breaker = Breaker("http://far/v1", clock=clock)
    breaker.failed("ConnectError", surely=True)
    breaker.succeeded()
    breaker.check()
    assert not breaker.is_open
