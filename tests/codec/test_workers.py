"""Threads side by side change nothing but the time that it takes."""

import io
import threading

import pytest
import torch

from hscodec.codec import Decoder, Encoder
from hscodec.codec.playback import Playback
from hscodec.codec.symbols import SymbolReader
from hscodec.codec.workers import ahead, default_workers, one_torch_thread, worker_pool
from hscodec.container import ContainerReader
from hscodec.errors import FormatError

CPU = torch.device("cpu")


@pytest.fixture
def two_torch_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def source_of(content, model):
    return SymbolReader(ContainerReader(io.BytesIO(content)), model)


def damaged(content, *indices):
    changed = bytearray(content)
    for index in indices:
        entry = ContainerReader(io.BytesIO(content)).chunks[index]
        changed[entry.offset + entry.byte_length // 2] ^= 1
    return bytes(changed)


def thread_names():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("hscodec")]


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("rate", [None, 11_111])
def test_the_number_of_workers_changes_no_bit(long_file, many_chunks, tiny_model, workers, rate):
    for path in (long_file, many_chunks):
        content = path.read_bytes()
        playback = Playback.of(8000, rate=rate)
        alone = Decoder(source_of(content, tiny_model), tiny_model, playback=playback, device=CPU, workers=1)
        beside = Decoder(source_of(content, tiny_model), tiny_model, playback=playback, device=CPU, workers=workers)
        whole = alone.read()
        assert torch.equal(beside.read(), whole)
        assert [len(block[0]) for block in beside.blocks()] == [len(block[0]) for block in alone.blocks()]
        for start in range(0, whole.shape[1], whole.shape[1] // 3):
            stop = start + whole.shape[1] // 2
            assert torch.equal(beside.read(start, stop), whole[:, start:stop])


@pytest.mark.parametrize("rate", [None, 11_111])
def test_backwards_is_the_same_with_any_number_of_workers(long_file, many_chunks, tiny_model, rate):
    for path in (long_file, many_chunks):
        playback = Playback.of(8000, rate=rate)
        for workers in (1, 2, 3):
            source = source_of(path.read_bytes(), tiny_model)
            decoder = Decoder(source, tiny_model, playback=playback, device=CPU, workers=workers)
            whole = decoder.read()
            for start, stop in ((0, None), (33, whole.shape[1] - 1), (whole.shape[1] // 2, None), (7, 8)):
                expected = whole[:, start:stop].flip(1)
                assert torch.equal(torch.cat(list(decoder.blocks(start, stop, reverse=True)), 1), expected)


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_lost_is_found_backwards_as_well(many_chunks, tiny_model, workers):
    content = damaged(many_chunks.read_bytes(), 2, 3, 5)
    options = {"device": CPU, "keep_going": True, "workers": workers}
    forwards = Decoder(source_of(content, tiny_model), tiny_model, **options)
    backwards = Decoder(source_of(content, tiny_model), tiny_model, **options)
    expected = forwards.read().flip(1)
    assert torch.equal(torch.cat(list(backwards.blocks(reverse=True)), 1), expected)
    assert sorted(backwards.lost) == forwards.lost


def test_the_number_of_torch_threads_changes_no_bit(long_file, tiny_model, two_torch_threads):
    content = long_file.read_bytes()
    decoder = Decoder(source_of(content, tiny_model), tiny_model, device=CPU)
    whole, start = decoder.read(), decoder.read(0, 100)
    torch.set_num_threads(1)
    alone = Decoder(source_of(content, tiny_model), tiny_model, device=CPU)
    assert torch.equal(alone.read(), whole)
    assert torch.equal(start, whole[:, :100])


def test_blocks_of_two_ranges_may_be_read_in_turns(many_chunks, tiny_model):
    decoder = Decoder(source_of(many_chunks.read_bytes(), tiny_model), tiny_model, device=CPU, workers=2)
    whole = decoder.read()
    first, second = [], []
    for one, other in zip(decoder.blocks(), decoder.blocks(500), strict=False):
        first.append(one)
        second.append(other)
    taken = torch.cat(first, 1)
    assert torch.equal(taken, whole[:, : taken.shape[1]])
    taken = torch.cat(second, 1)
    assert torch.equal(taken, whole[:, 500 : 500 + taken.shape[1]])


@pytest.mark.parametrize("indices", [(3,), (0, 6), (2, 3, 5)])
def test_what_is_lost_is_found_in_order(many_chunks, tiny_model, indices):
    content = damaged(many_chunks.read_bytes(), *indices)
    options = {"device": CPU, "keep_going": True}
    alone = Decoder(source_of(content, tiny_model), tiny_model, workers=1, **options)
    beside = Decoder(source_of(content, tiny_model), tiny_model, workers=3, **options)
    for one, other in zip(alone.blocks(), beside.blocks(), strict=True):
        assert torch.equal(one, other)
        assert alone.lost == beside.lost  # no sooner than by one thread
    spans = source_of(content, tiny_model).spans
    assert beside.lost == [(spans[index].first_segment, spans[index].stop_segment) for index in indices]


def test_damage_is_reported_when_its_turn_comes(many_chunks, tiny_model):
    content = damaged(many_chunks.read_bytes(), 4)
    counts = []
    for workers in (1, 3):
        decoder = Decoder(source_of(content, tiny_model), tiny_model, device=CPU, workers=workers)
        blocks = decoder.blocks()
        counts.append(0)
        with pytest.raises(FormatError, match="checksum"):
            for _ in blocks:
                counts[-1] += 1
    assert counts[0] == counts[1] > 0
    assert thread_names() == []


def test_no_more_chunks_are_read_than_needed(many_chunks, tiny_model):
    source = source_of(many_chunks.read_bytes(), tiny_model)
    met = []
    fetch = source.fetch
    source.fetch = lambda index: met.append(index) or fetch(index)
    decoder = Decoder(source, tiny_model, device=CPU, workers=3)
    decoder.read(source.spans[2].first_segment * 160 + 3, source.spans[3].first_segment * 160 + 9)
    assert sorted(met) == [1, 2, 3, 4]


def test_whoever_stops_early_leaves_no_threads_behind(many_chunks, tiny_model):
    decoder = Decoder(source_of(many_chunks.read_bytes(), tiny_model), tiny_model, device=CPU, workers=2)
    blocks = decoder.blocks()
    next(blocks)
    assert thread_names()
    blocks.close()
    assert thread_names() == []


def test_a_short_range_needs_no_threads(long_file, tiny_model, monkeypatch):
    monkeypatch.setattr("hscodec.codec.decoder.worker_pool", lambda count: pytest.fail("a pool was opened"))
    decoder = Decoder(source_of(long_file.read_bytes(), tiny_model), tiny_model, device=CPU, workers=2)
    assert decoder.read(100, 2000).shape == (2, 1900)


def test_threads_of_a_pool_use_one_torch_thread_and_leave_others_alone(two_torch_threads):
    assert default_workers() == 2
    barrier = threading.Barrier(3)
    with worker_pool(3) as pool:
        counts = [pool.submit(lambda: (barrier.wait(), torch.get_num_threads())[1]) for _ in range(3)]
        assert [count.result() for count in counts] == [1, 1, 1]
        assert torch.get_num_threads() == 2
        found = []
        other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert found == [2]
    with one_torch_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_taking_ahead_is_bounded_and_keeps_the_order():
    taken = []
    items = ahead((taken.append(item) or item for item in range(6)), 2)
    assert next(items) == 0
    assert taken == [0, 1, 2]
    assert list(items) == [1, 2, 3, 4, 5]


def test_the_number_of_workers_changes_no_chunk(tiny_model, noise):
    samples = noise(8000 * 16, num_channels=2).T.copy()
    options = {"sample_rate": 8000, "num_channels": 2, "quality_hundredths": 500, "gain": 0.9, "device": CPU}
    found = []
    for workers in (1, 3):
        encoder = Encoder(tiny_model, workers=workers, **options)
        found.append([*encoder.push(samples), *encoder.finish()])
    assert found[0] == found[1]
    assert len(found[0]) == 3
