from retrieval.adaptive import worth_keeping


def test_nothing_is_kept_below_the_floor():
    assert worth_keeping([0.4, 0.3], floor=0.5, drop=0.5, most=3) == []
    assert worth_keeping([], floor=0.5, drop=0.5, most=3) == []


def test_keeping_stops_where_support_drops():
    assert worth_keeping([0.9, 0.8, 0.5, 0.85], floor=0.2, drop=0.8, most=5) == [0, 1, 3]


def test_at_most_so_many_are_kept():
    assert worth_keeping([0.9, 0.9, 0.9], floor=0.2, drop=0.8, most=2) == [0, 1]
