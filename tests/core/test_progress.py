"""Progress and seconds, from several threads."""

from concurrent.futures import ThreadPoolExecutor

from jaxslice.core.progress import Count, Stopwatch


def test_stopwatch_adds_up():
    watch = Stopwatch()
    for _ in range(2):
        with watch.measure("a"):
            pass
    assert set(watch.seconds("a", "b")) == {"a", "b", "total"}
    assert watch.seconds("b")["b"] == 0.0


def test_blocks_of_all_threads_are_counted():
    seen = []
    count = Count("encode", 200, lambda *report: seen.append(report))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count.add, [2] * 100))
    assert sorted(done for _, done, _ in seen) == list(range(2, 201, 2))
    assert {(part, total) for part, _, total in seen} == {("encode", 200)}
