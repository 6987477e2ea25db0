"""Damage stays local: lost chunks become silence without clicks, and everything else is what it was."""

import io

import numpy as np
import pytest
import torch

from hscodec.codec import Reader, decode_file, verify_file
from hscodec.codec.constants import MAX_CONCEALED_SECONDS
from hscodec.codec.lost import merged
from hscodec.container import ChunkOrder, ContainerReader, ContainerWriter, FileHeader
from hscodec.errors import FormatError

HOP = 160
"""Samples at 8 kHz."""


@pytest.fixture(scope="module")
def three_chunks(tmp_path_factory, tiny_model, noise):
    """Return 18.75 s of noise at 8 kHz: chunks of 250, 250 and 440 segments."""
    import soundfile

    from hscodec.codec import encode_file

    folder = tmp_path_factory.mktemp("three")
    soundfile.write(folder / "in.wav", noise(150_000), 8000)
    encode_file(folder / "in.wav", folder / "out.hsnd", model=tiny_model, device="cpu")
    return (folder / "out.hsnd").read_bytes()


def chunks_of(content):
    return ContainerReader(io.BytesIO(content)).chunks


def flipped(content, index):
    entry = chunks_of(content)[index]
    place = entry.offset + entry.byte_length // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def without(content, index):
    entry = chunks_of(content)[index]
    return content[: entry.offset] + content[entry.stop_offset :]


def read(content, model, **options):
    with Reader(io.BytesIO(content), model=model, device="cpu", **options) as reader:
        samples = reader.read()
        return samples, reader.lost


@pytest.mark.parametrize("damage", [flipped, without])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_what_is_lost_is_silent_and_the_rest_is_as_it_was(three_chunks, tiny_model, damage, index):
    whole, nothing = read(three_chunks, tiny_model)
    assert nothing == []
    content = damage(three_chunks, index)
    with pytest.raises(FormatError):
        read(content, tiny_model)
    samples, lost = read(content, tiny_model, keep_going=True)
    entry = chunks_of(three_chunks)[index]
    first, stop = entry.first_segment, entry.stop_segment
    is_cut = damage is without and index == 2
    assert samples.shape[1] == (499 * HOP if is_cut else whole.shape[1])
    ((start_s, stop_s),) = lost
    assert start_s == pytest.approx(max(first - 1, 0) * 0.02)
    assert stop_s == pytest.approx(min(stop * 0.02, 18.75))
    # The hops that lie wholly in lost segments are digital silence.
    assert not samples[:, first * HOP : (stop - 1) * HOP].any()
    # Beyond the reach of refinement nothing has changed, not even a bit.
    context = tiny_model.config.refine_context
    before, behind = max(first - 1 - context, 0) * HOP, (stop + context) * HOP
    assert torch.equal(samples[:, :before], whole[:, :before])
    assert torch.equal(samples[:, behind:], whole[:, behind : samples.shape[1]])
    # What refinement misses makes little difference next to the gap, and none of it is silence.
    near = samples[:, before : max(first - 1, 0) * HOP]
    assert near.numel() == 0 or near.square().mean() > 0.3 * whole[:, before : (first - 1) * HOP].square().mean()


def test_there_is_no_click_at_the_edges(three_chunks, tiny_model):
    whole, _ = read(three_chunks, tiny_model)
    samples, _ = read(flipped(three_chunks, 1), tiny_model, keep_going=True)
    envelope = whole.abs().max()
    fade_out, fade_in = samples[0, 249 * HOP : 250 * HOP].abs(), samples[0, 499 * HOP : 500 * HOP].abs()
    assert fade_out[-3:].max() < 0.03 * envelope
    assert fade_in[:3].max() < 0.03 * envelope
    assert fade_out[: HOP // 4].mean() > 3 * fade_out[-HOP // 4 :].mean() > 0
    assert fade_in[-HOP // 4 :].mean() > 3 * fade_in[: HOP // 4].mean() > 0


@pytest.mark.parametrize("damage", [flipped, without])
def test_ranges_of_a_damaged_file_are_slices_of_its_whole(three_chunks, tiny_model, damage):
    content = damage(three_chunks, 1)
    whole, _ = read(content, tiny_model, keep_going=True)
    hops = [(0, 1), (248, 252), (300, 301), (490, 520), (937, None)]
    for start, stop in ((first * HOP + 5, last and last * HOP - 5) for first, last in hops):
        with Reader(io.BytesIO(content), model=tiny_model, device="cpu", keep_going=True) as reader:
            assert torch.equal(reader.read(start, stop), whole[:, start:stop])


def test_a_range_beside_the_damage_needs_no_permission(three_chunks, tiny_model):
    whole, _ = read(three_chunks, tiny_model)
    with Reader(io.BytesIO(flipped(three_chunks, 2)), model=tiny_model, device="cpu") as reader:
        assert torch.equal(reader.read(0, 100 * HOP), whole[:, : 100 * HOP])
        with pytest.raises(FormatError, match="checksum"):
            reader.read(400 * HOP, 410 * HOP)


def test_a_file_cut_anywhere_yields_every_chunk_before_the_cut(three_chunks, tiny_model):
    whole, _ = read(three_chunks, tiny_model)
    entries = chunks_of(three_chunks)
    cuts = {len(three_chunks) - 1, len(three_chunks) - 20, 68, 69}
    for entry in entries:
        cuts |= {entry.offset + 1, (entry.offset + entry.stop_offset) // 2, entry.stop_offset - 1, entry.stop_offset}
    for cut in sorted(cuts):
        samples, lost = read(three_chunks[:cut], tiny_model, keep_going=True)
        left = [entry for entry in entries if entry.stop_offset <= cut]
        stop = left[-1].stop_segment if left else 0
        assert samples.shape[1] == min(max(stop - 1, 0) * HOP, 150_000)
        exact = max(stop - 1 - tiny_model.config.refine_context, 0) * HOP if len(left) < 3 else 150_000
        assert torch.equal(samples[:, :exact], whole[:, :exact])
        assert lost == ([] if len(left) == 3 else [(pytest.approx(max(stop - 1, 0) * 0.02), 18.75)])


def test_decoding_a_file_reports_what_was_lost(three_chunks, tmp_path):
    path = tmp_path / "a.hsnd"
    path.write_bytes(flipped(three_chunks, 1))
    with pytest.raises(FormatError, match="chunk 1"):
        decode_file(path, tmp_path / "a.wav", device="cpu")
    assert not (tmp_path / "a.wav").exists()
    result = decode_file(path, tmp_path / "a.wav", device="cpu", keep_going=True)
    assert result.num_samples == 150_000
    assert result.lost == ((pytest.approx(4.98), pytest.approx(10.0)),)
    (problem,) = verify_file(path).problems
    assert (problem.start_s, problem.stop_s) == result.lost[0]


def test_a_gap_of_years_is_not_rendered(tmp_path, tiny_model, three_chunks):
    """A few bytes can claim any place in time."""
    entry = chunks_of(three_chunks)[0]
    chunk = ContainerReader(io.BytesIO(three_chunks)).read_chunk(0)
    sink = io.BytesIO()
    header = FileHeader(
        sample_rate=8000,
        num_channels=1,
        num_samples=1 << 39,
        num_weights=160,
        quality=500,
        model_id=tiny_model.model_id,
    )
    writer = ContainerWriter(sink, header)
    writer.num_segments = 2_000_000_000
    writer.write_chunk(
        first_segment=2_000_000_000,
        num_segments=entry.num_segments,
        order=ChunkOrder(chunk.header.order),
        symbol_digest=chunk.header.symbol_digest,
        payload=chunk.payload,
    )
    with Reader(io.BytesIO(sink.getvalue()), model=tiny_model, device="cpu", keep_going=True) as reader:
        assert reader.num_samples == (2_000_000_000 + 249) * HOP
        with pytest.raises(FormatError, match="more than 1 h of sound is missing"):
            next(reader.blocks())
        # Around the gap everything can be had, at once.
        assert not reader.read(10**11, 10**11 + 5).any()
        assert reader.read(reader.num_samples - 5).any()
    assert MAX_CONCEALED_SECONDS == 3600


def test_ranges_merge():
    ranges = [(3.0, 4.0), (0.0, 1.0), (1.0, 2.0), (3.5, 3.6), (7.0, 7.0)]
    assert list(merged(ranges)) == [(0.0, 2.0), (3.0, 4.0)]
    assert list(merged([])) == []
    assert np.allclose(list(merged([(1.0, 2.0)])), [(1.0, 2.0)])
