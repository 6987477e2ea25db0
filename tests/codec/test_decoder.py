import io
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from hscodec.codec import Decoder, Encoder
from hscodec.codec.symbols import SymbolReader
from hscodec.container import ContainerReader, ContainerWriter, FileHeader
from hscodec.errors import FormatError, ModelError
from hscodec.rates import scaled_length

CPU = torch.device("cpu")


@pytest.fixture
def source(long_file, tiny_model):
    with open(long_file, "rb") as file:
        yield SymbolReader(ContainerReader(file), tiny_model)


@pytest.mark.parametrize("rate", [None, 8000, 16_000, 11_025, 12_345])
def test_blocks_are_slices_of_the_whole(source, tiny_model, rate):
    decoder = Decoder(source, tiny_model, rate=rate, device=CPU)
    blocks = list(decoder.blocks())
    whole = np.concatenate(blocks, axis=1)
    assert whole.dtype == np.float32
    assert whole.shape == (2, decoder.num_samples)
    assert decoder.num_samples == scaled_length(114_321, 8000, decoder.rate)
    start = 0
    for index, block in enumerate(blocks):
        assert decoder.first_sample(index) == start
        fresh = Decoder(source, tiny_model, rate=rate, device=CPU)  # decoding starts here
        alone = fresh.block(index)[:, : decoder.num_samples - start]
        np.testing.assert_array_equal(alone, block)
        np.testing.assert_array_equal(decoder.block(index)[:, : block.shape[1]], block)
        start += block.shape[1]
    assert start == decoder.num_samples


def test_chunks_join_without_a_seam(source, tiny_model):
    """Decoded in chunks or in one window, it is the same sound."""
    decoder = Decoder(source, tiny_model, device=CPU)
    whole = np.concatenate(list(decoder.blocks()), axis=1)
    network, quality = tiny_model.network(CPU), source.header.quality / 100
    with torch.inference_mode():
        parts = [decoder._prepare(index) for index in range(len(source))]
        precision = type(parts[0].precision)(
            torch.cat([part.precision.step for part in parts], 1),
            torch.cat([part.precision.features for part in parts], 1),
        )
        theta = network.refine(torch.cat([part.symbols for part in parts], 1), precision, quality)
        theta = torch.nn.functional.pad(theta, (0, 0, 0, 1))
        samples = decoder._target.synthesize(theta, 160) * source.header.gain
    np.testing.assert_allclose(samples[:, : whole.shape[1]].numpy(), whole, atol=1e-5)


def test_blocks_of_many_short_chunks(tiny_model):
    """Chunks shorter than the context of refinement are valid, too."""
    sink = io.BytesIO()
    encoder = Encoder(tiny_model, sample_rate=8000, num_channels=1, quality_hundredths=500, gain=1.0, device=CPU)
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 160 * 20)).astype(np.float32)
    header = FileHeader(
        sample_rate=8000,
        num_channels=1,
        num_samples=160 * 20,
        num_weights=160,
        quality=500,
        model_id=tiny_model.model_id,
    )
    encoder._hold(samples)
    encoder._held = np.pad(encoder._held, ((0, 0), (0, 320)))
    with ContainerWriter(sink, header) as container:
        for count in (2, 2, 4, 2, 8, 2, 2):
            encoder._encode(count)
        for chunk in encoder._packed(keep=0):
            container.write_chunk(
                first_segment=chunk.first_segment,
                num_segments=chunk.num_segments,
                order=chunk.order,
                symbol_digest=chunk.symbol_digest,
                payload=chunk.payload,
            )
    source = SymbolReader(ContainerReader(sink), tiny_model)
    for rate in (8000, 11_111):
        decoder = Decoder(source, tiny_model, rate=rate, device=CPU)
        blocks = list(decoder.blocks())
        assert len(decoder._prepared) <= 3  # memory does not grow with the length of a file
        assert sum(block.shape[1] for block in blocks) == scaled_length(3200, 8000, rate)
        for index in (3, 5):
            alone = Decoder(source, tiny_model, rate=rate, device=CPU).block(index)
            np.testing.assert_array_equal(alone, blocks[index])


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
def test_any_rate_that_a_header_may_name_can_be_rendered(source, tiny_model, rate):
    theta = torch.randn(1, 6, 160)
    decoder = Decoder(source, tiny_model, rate=rate, device=CPU)
    rendered = decoder._target.synthesize(theta, decoder._grid)
    assert rendered.shape == (1, math.ceil(5 * Fraction(rate, 50) - Fraction(1, 2)))
    assert rendered.isfinite().all()


def test_a_file_without_chunks(tiny_model):
    decoder = Decoder(symbol_reader(tiny_model), tiny_model, device=CPU)
    assert decoder.num_samples == 0
    assert list(decoder.blocks()) == []


def test_a_file_with_a_gap_is_refused(long_file, tiny_model):
    content = long_file.read_bytes()
    first, second = ContainerReader(io.BytesIO(content)).chunks
    source = SymbolReader(ContainerReader(io.BytesIO(content[: first.offset] + content[second.offset :])), tiny_model)
    with pytest.raises(FormatError, match="chunks are missing"):
        Decoder(source, tiny_model, device=CPU)
