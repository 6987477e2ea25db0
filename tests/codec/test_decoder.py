import io
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from hscodec.codec import Decoder
from hscodec.codec.constants import SLICE_SEGMENTS
from hscodec.codec.playback import Playback
from hscodec.codec.symbols import SymbolReader
from hscodec.container import ContainerReader, ContainerWriter, FileHeader
from hscodec.errors import FormatError, ModelError
from hscodec.inr.lapped import LappedSiren
from hscodec.rates import scaled_length

CPU = torch.device("cpu")


@pytest.fixture
def source(long_file, tiny_model):
    with open(long_file, "rb") as file:
        yield SymbolReader(ContainerReader(file), tiny_model)


def open_at(path, model, *, rate=None, speed=1):
    source = SymbolReader(ContainerReader(io.BytesIO(path.read_bytes())), model)
    return Decoder(source, model, playback=Playback.of(8000, rate=rate, speed=speed), device=CPU)


@pytest.mark.parametrize(
    ("rate", "speed"),
    [
        (None, 1),
        (8000, 1),
        (16_000, 1),
        (11_025, 1),
        (12_345, 1),
        (Fraction(48_000_000, 1001), 3),
        (1000, 4),
        (None, Fraction(5, 7)),
    ],
)
def test_any_range_is_the_slice_of_the_whole(long_file, tiny_model, rate, speed):
    decoder = open_at(long_file, tiny_model, rate=rate, speed=speed)
    whole = decoder.read()
    assert whole.dtype == torch.float32
    assert whole.shape == (2, decoder.num_samples)
    grid_rate = Fraction(rate or 8000) / speed
    assert decoder.num_samples == scaled_length(114_321, 8000, grid_rate)
    random = np.random.default_rng(0)
    edges = [0, 1, decoder.num_samples - 1, decoder.num_samples, decoder.num_samples + 5]
    seams = (249, 250, 499, 500, 714, 715)
    edges += [round(seam * 0.02 * grid_rate) + near for seam in seams for near in (-1, 0, 1)]
    edges += random.integers(0, decoder.num_samples, 12).tolist()
    for _ in range(24):
        start, stop = sorted(random.choice(edges, 2).tolist())
        fresh = open_at(long_file, tiny_model, rate=rate, speed=speed)  # decoding starts here
        assert torch.equal(fresh.read(start, stop), whole[:, start:stop]), (start, stop)
        assert torch.equal(decoder.read(start, stop), whole[:, start:stop]), (start, stop)


def test_blocks_are_short(long_file, tiny_model):
    """Memory is bounded by slices, whatever the length of a chunk; the second chunk has 466 segments."""
    blocks = list(open_at(long_file, tiny_model).blocks())
    assert max(block.shape[1] for block in blocks) <= SLICE_SEGMENTS * 160
    assert len(blocks) == 3


def test_a_range_reads_no_more_chunks_than_it_needs(many_chunks, tiny_model):
    source = SymbolReader(ContainerReader(io.BytesIO(many_chunks.read_bytes())), tiny_model)
    met = []
    fetch = source.fetch
    source.fetch = lambda index: met.append(index) or fetch(index)
    decoder = Decoder(source, tiny_model, device=CPU)
    spans = source.spans
    assert len(spans) == 7
    middle = spans[3]
    decoder.read(middle.first_segment * 160 + 3, middle.first_segment * 160 + 9)
    assert sorted(met) == [2, 3, 4]


def test_what_is_read_may_take_part_in_training(long_file, tiny_model):
    samples = open_at(long_file, tiny_model).read(0, 100)
    scale = torch.ones((), requires_grad=True)
    (samples * scale).sum().backward()
    assert scale.grad is not None


def test_slices_join_without_a_seam(source, tiny_model):
    """Decoded in slices or in one window, it is the same sound."""
    decoder = Decoder(source, tiny_model, device=CPU)
    whole = decoder.read()
    network, quality = tiny_model.network(CPU), source.header.quality / 100
    with torch.inference_mode():
        parts = [decoder._loader.around(index)[1] for index in range(len(source.spans))]
        precision = type(parts[0].precision)(
            torch.cat([part.precision.step for part in parts], 1),
            torch.cat([part.precision.features for part in parts], 1),
        )
        theta = network.refine(torch.cat([part.symbols for part in parts], 1), precision, quality)
        theta = torch.nn.functional.pad(theta, (0, 0, 0, 1))
        samples = LappedSiren(160).synthesize(theta, 160) * source.header.gain
    np.testing.assert_allclose(samples[:, : whole.shape[1]].numpy(), whole, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 11_111])
def test_chunks_shorter_than_the_context_of_refinement(many_chunks, tiny_model, rate):
    decoder = open_at(many_chunks, tiny_model, rate=rate)
    whole = decoder.read()
    assert whole.shape == (1, scaled_length(3200, 8000, rate))
    assert len(decoder._loader._prepared) <= 3  # memory does not grow with the length of a file
    for start in range(0, whole.shape[1], 371):
        part = open_at(many_chunks, tiny_model, rate=rate).read(start, start + 50)
        assert torch.equal(part, whole[:, start : start + 50])


def symbol_reader(model, **changes):
    values = {"sample_rate": 8000, "num_channels": 1, "num_samples": 0, "num_weights": 160, "quality": 500}
    sink = io.BytesIO()
    ContainerWriter(sink, FileHeader(**(values | {"model_id": model.model_id} | changes))).close()
    return SymbolReader(ContainerReader(sink), model)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model_id": bytes(16)}, ModelError, "made with the model 0000"),
        ({"hop_seconds": Fraction(1, 100)}, FormatError, "target network"),
        ({"num_weights": 961}, FormatError, "961 weights per segment, its model at most 960"),
        ({"num_channels": 9}, FormatError, "9 channels, at most 8"),
    ],
)
def test_files_that_do_not_fit_the_model(tiny_model, changes, error, message):
    with pytest.raises(error, match=message):
        symbol_reader(tiny_model, **changes)


@pytest.mark.parametrize("rate", [1, 7, 49, 50, 99, 767_999])
def test_any_rate_that_a_header_may_name_can_be_rendered(rate):
    theta = torch.randn(1, 6, 160)
    rendered = LappedSiren(160).synthesize(theta, Fraction(rate, 50))
    assert rendered.shape == (1, math.ceil(5 * Fraction(rate, 50) - Fraction(1, 2)))
    assert rendered.isfinite().all()


def test_a_file_without_chunks(tiny_model):
    decoder = Decoder(symbol_reader(tiny_model), tiny_model, device=CPU)
    assert decoder.num_samples == 0
    assert list(decoder.blocks()) == []
    assert decoder.read().shape == (1, 0)
