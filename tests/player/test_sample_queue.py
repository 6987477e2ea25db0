import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hscodec.player.sample_queue import SampleQueue

sizes = st.lists(st.integers(0, 9), max_size=12)


@given(put=sizes, taken=sizes)
def test_what_goes_in_comes_out_in_order_whatever_the_sizes(put, taken):
    samples = np.arange(2 * sum(put), dtype=np.float32).reshape(-1, 2)
    queue, place = SampleQueue(), 0
    for size in put:
        queue.put(samples[place : place + size])
        place += size
    assert len(queue) == sum(put)
    heard = []
    for size in taken:
        frames = np.full((size, 2), np.nan, np.float32)
        before = len(queue)
        count = queue.take(frames)
        assert count == min(size, before)
        assert len(queue) == before - count
        assert np.isnan(frames[count:]).all()
        heard.append(frames[:count])
    heard = np.concatenate([np.empty((0, 2), np.float32), *heard])
    np.testing.assert_array_equal(heard, samples[: len(heard)])
    queue.clear()
    assert len(queue) == 0
    assert queue.take(np.empty((3, 2), np.float32)) == 0
