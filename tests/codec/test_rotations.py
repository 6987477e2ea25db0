"""Rotated pairs from samples to samples: nearly mono sounds, and files whose chunks are rotated by different angles."""

import io

import numpy as np
import pytest
import soundfile
import torch

from hscodec.cli.info import describe
from hscodec.codec import Encoder, Reader, decode_file, encode_file, verify_file
from hscodec.coding.payload import ChunkSymbols
from hscodec.coding.rotations import ANGLE_STEP, ROTATION, SILENT
from hscodec.container import ContainerReader, ContainerWriter, FileHeader
from hscodec.errors import FormatError

RATE = 8000
HOP = 160
PIECE = 5 * RATE
"""As long as a chunk, whose first segment begins one hop before it."""
GAIN = 0.8
ROTATIONS = [[[64, SILENT]], [], [[64, 50]], [[128, 50]], [[192, 50]]]
"""Those of `pieces`: what little there is beside one sound is coded at quality 0."""


class Pipe(io.BytesIO):
    """Cannot seek."""

    def seekable(self):
        return False


def encoded(model, samples, *, gain=GAIN, block_samples=9999):
    """Return the bytes of a file of samples [C, T] at quality 5, with a gain that does not depend on them."""
    encoder = Encoder(
        model,
        sample_rate=RATE,
        num_channels=len(samples),
        quality_hundredths=500,
        gain=gain,
        device=torch.device("cpu"),
    )
    chunks = []
    for start in range(0, samples.shape[1], block_samples):
        chunks += encoder.push(samples[:, start : start + block_samples])
    chunks += encoder.finish()
    sink = io.BytesIO()
    with ContainerWriter(sink, header_of(model, samples, gain)) as container:
        for chunk in chunks:
            chunk.write_to(container, last=chunk is chunks[-1])
    return sink.getvalue()


def header_of(model, samples, gain):
    return FileHeader(
        sample_rate=RATE,
        num_channels=len(samples),
        num_samples=samples.shape[1],
        num_weights=160,
        quality=500,
        gain=gain,
        model_id=model.model_id,
    )


def decoded(content, **options):
    with Reader(io.BytesIO(content), device="cpu", **options) as reader:
        return reader.read()


def symbols_of(content):
    with Reader(io.BytesIO(content), device="cpu") as reader:
        return [reader.symbols(index) for index in range(len(entries_of(content)))]


def rotations_of(content):
    return [symbols.rotations.tolist() for symbols in symbols_of(content)]


def entries_of(content):
    return ContainerReader(io.BytesIO(content)).chunks


def chunks_of(content):
    container = ContainerReader(io.BytesIO(content))
    return [container.read_chunk(index) for index in range(len(container.chunks))]


def as_mono(model, content, *, gain):
    """Return a mono file of the first channels that a file holds, all of whose second channels are silent."""
    chunks, num_samples = chunks_of(content), ContainerReader(io.BytesIO(content)).num_samples
    sink = io.BytesIO()
    with ContainerWriter(sink, header_of(model, np.zeros((1, num_samples)), gain)) as container:
        for chunk, symbols in zip(chunks, symbols_of(content), strict=True):
            assert (chunk.header.has_attacks, chunk.header.has_rotations) == (False, True)
            container.write_chunk(
                first_segment=chunk.header.first_segment,
                num_segments=chunk.header.num_segments,
                order=chunk.header.order,
                symbol_digest=ChunkSymbols(symbols.latent[:1], symbols.weights[:1]).digest(),
                payload=chunk.payload[ROTATION.size :],
            )
    return sink.getvalue()


def flipped(content, index):
    entry = entries_of(content)[index]
    place = entry.offset + entry.byte_length // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.fixture(scope="module")
def mono(noise):
    """Return 15 s [1, T]: chunks of 250 and 502 segments."""
    return np.ascontiguousarray(noise(3 * PIECE).T)


@pytest.fixture(scope="module")
def pieces(noise):
    """Return 25 s [2, T], each 5 s of which are mixed in another way; there is an attack in the first of them."""
    sound, other = np.ascontiguousarray(noise(5 * PIECE).T[0]), noise(5 * PIECE, seed=1).T[0]
    sound[PIECE // 2 : PIECE // 2 + 800] = 1e-4 * other[:800]
    nearly_mono, right_only = (sound + 0.03 * other, sound - 0.03 * other), (0 * sound, sound)
    mixed = [(sound, sound), (sound, other), nearly_mono, right_only, (sound, -sound)]
    cut = [np.stack(pair)[:, index * PIECE : (index + 1) * PIECE] for index, pair in enumerate(mixed)]
    return np.concatenate(cut, 1)


@pytest.fixture(scope="module")
def content(tiny_model, pieces):
    return encoded(tiny_model, pieces)


def panned(mono, left, right):
    return np.concatenate([left * mono, right * mono]).astype(np.float32)


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1)])
def test_one_sound_in_both_channels_is_a_mono_file_of_3_db_more(tiny_model, mono, signs):
    """The rotation keeps energy: what both channels share has that of both."""
    content = encoded(tiny_model, panned(mono, *signs))
    angle = 64 if signs == (1, 1) else 192
    assert rotations_of(content) == [[[angle, SILENT]]] * len(entries_of(content))
    samples = decoded(content)
    gain = GAIN / 2**0.5
    shared = decoded(as_mono(tiny_model, content, gain=gain), model=tiny_model)[0]
    # At 192, three quarters of half a turn, the first channel is the negative one.
    first, second = (1, 1) if angle == 64 else (-1, 1)
    tolerance = {"rtol": 0, "atol": 1e-5 * shared.abs().max().item()}
    torch.testing.assert_close(samples, torch.stack([first * shared, second * shared]), **tolerance)
    torch.testing.assert_close(first * samples[0], second * samples[1], **tolerance)
    # And it is what the encoder makes of a mono file, but for rounding, which may tip a symbol over.
    alone = encoded(tiny_model, signs[1] * mono, gain=gain)
    for ours, expected in zip(symbols_of(content), symbols_of(alone), strict=True):
        assert np.mean(ours.latent[:1] != expected.latent) < 0.01
        assert np.mean(ours.weights[:1] != expected.weights) < 0.01
        assert not ours.latent[1].any()
        assert not ours.weights[1].any()
    assert len(content) == pytest.approx(len(alone) + ROTATION.size * len(entries_of(content)), abs=20)


def test_it_is_rendered_as_well_as_a_mono_file_or_better(tiny_model, mono):
    def error(samples):
        return (samples - torch.from_numpy(mono)).square().mean().item()

    assert error(decoded(encoded(tiny_model, panned(mono, 1, 1)))) < error(decoded(encoded(tiny_model, mono)))


def test_files_of_one_sound_in_both_channels(tiny_model, mono, tmp_path):
    """A file's gain is that of its peak, so the mono file is analysed 3 dB below what both channels share."""
    sizes = {}
    for name, samples in (
        ("mono", mono),
        ("both", panned(mono, 1, 1)),
        ("wide", np.concatenate([mono, mono[:, ::-1]])),
    ):
        soundfile.write(tmp_path / "a.wav", samples.T, RATE, subtype="FLOAT")
        options = {"model": tiny_model, "device": "cpu", "overwrite": True}
        sizes[name] = encode_file(tmp_path / "a.wav", tmp_path / f"{name}.hsnd", **options).file_bytes
    assert sizes["both"] < 0.75 * sizes["wide"]
    assert sizes["both"] < 1.25 * sizes["mono"]
    result = decode_file(tmp_path / "both.hsnd", tmp_path / "both.wav", device="cpu")
    samples, _ = soundfile.read(tmp_path / "both.wav")
    assert samples.shape == (mono.shape[1], 2) == (result.num_samples, result.num_channels)
    np.testing.assert_allclose(samples[:, 0], samples[:, 1], rtol=0, atol=2**-15)


@pytest.mark.parametrize(("left", "right", "angle"), [(1, 0, 0), (0, 1, 128)])
def test_one_sound_in_one_channel_is_its_mono_file(tiny_model, mono, left, right, angle):
    content = encoded(tiny_model, panned(mono, left, right))
    assert rotations_of(content) == [[[angle, SILENT]]] * len(entries_of(content))
    samples = decoded(content)
    sounding, silent = (samples[0], samples[1]) if left else (samples[1], samples[0])
    expected = decoded(as_mono(tiny_model, content, gain=GAIN), model=tiny_model)[0]
    torch.testing.assert_close(sounding, expected, rtol=0, atol=1e-6)
    # The cosine of a quarter of a turn is not quite 0, far below the least bit of 24.
    assert silent.abs().max() <= (0 if left else 1e-7)
    alone = encoded(tiny_model, mono)
    assert len(content) == pytest.approx(len(alone) + ROTATION.size * len(entries_of(content)), abs=20)
    for ours, other in zip(symbols_of(content), symbols_of(alone), strict=True):
        assert np.mean(ours.weights[:1] != other.weights) < 0.01


def test_three_channels(tiny_model, mono):
    """The third is in no pair."""
    content = encoded(tiny_model, np.concatenate([mono, mono, mono[:, ::-1]]))
    assert rotations_of(content) == [[[64, SILENT]]] * len(entries_of(content))
    samples = decoded(content)
    both, third = decoded(encoded(tiny_model, panned(mono, 1, 1))), decoded(encoded(tiny_model, mono[:, ::-1]))
    for found, expected in ((samples[:2], both), (samples[2:], third)):
        difference = (found - expected).square().mean() / expected.square().mean()
        assert difference < 1e-4  # rounding may tip a symbol over


def test_silence_is_not_rotated(tiny_model):
    assert rotations_of(encoded(tiny_model, np.zeros((2, PIECE), np.float32))) == [[]]


def test_chunks_are_rotated_each_by_itself(content, pieces):
    assert rotations_of(content) == ROTATIONS
    assert [len(symbols.attacks) > 0 for symbols in symbols_of(content)] == [True, False, False, False, False]
    assert [entry.stop_segment for entry in entries_of(content)] == [250, 500, 750, 1000, 1252]
    samples = decoded(content).numpy()
    assert samples.shape == pieces.shape
    for index, angle in enumerate((64, None, 64, 128, 192)):
        cut = slice(index * PIECE + HOP, (index + 1) * PIECE - HOP)
        error, expected = samples[:, cut] - pieces[:, cut], pieces[:, cut]
        if angle is not None:  # what little there is beside one sound is left out: a random model makes it up
            mix = np.array([[np.cos(angle * ANGLE_STEP), np.sin(angle * ANGLE_STEP)]])
            error, expected = mix @ error, mix @ expected
        assert ((error**2).mean(1) < 0.5 * (expected**2).mean(1)).all(), index
    first = samples[:, : PIECE - HOP]
    np.testing.assert_allclose(first[0], first[1], rtol=0, atol=1e-6)


def test_what_is_not_rotated_is_what_it_would_be_alone(content, pieces, tiny_model, monkeypatch):
    """Beyond the reach of refinement, other chunks' rotations do not matter."""
    monkeypatch.setattr("hscodec.codec.encoder.choose_rotations", lambda *_: np.zeros((0, 2), np.int32))
    plain = encoded(tiny_model, pieces)
    assert rotations_of(plain) == [[]] * 5
    far = slice(PIECE + 20 * HOP, 2 * PIECE - 20 * HOP)
    assert torch.equal(decoded(content)[:, far], decoded(plain)[:, far])
    assert len(content) < 0.95 * len(plain)


@pytest.mark.parametrize("rate", [None, 16_000, 11_025])
def test_ranges_are_slices(content, rate):
    with Reader(io.BytesIO(content), device="cpu", rate=rate) as reader:
        whole, num_samples, per_hop = reader.read(), reader.num_samples, reader.rate / 50
    random = np.random.default_rng(0)
    edges = [0, 1, num_samples - 1, num_samples]
    edges += [round(seam * per_hop) + near for seam in (249, 250, 499, 500, 749, 750, 999, 1000) for near in (-1, 0, 1)]
    edges += random.integers(0, num_samples, 12).tolist()
    for _ in range(24):
        start, stop = sorted(random.choice(edges, 2, replace=False).tolist())
        with Reader(io.BytesIO(content), device="cpu", rate=rate) as fresh:
            assert torch.equal(fresh.read(start, stop), whole[:, start:stop]), (start, stop)


@pytest.mark.parametrize("index", range(5))
def test_damage_stays_local(content, tiny_model, index):
    whole, damaged = decoded(content), flipped(content, index)
    with pytest.raises(FormatError, match="checksum"):
        decoded(damaged)
    samples = decoded(damaged, keep_going=True)
    entry = entries_of(content)[index]
    first, stop = entry.first_segment, entry.stop_segment
    assert not samples[:, first * HOP : (stop - 1) * HOP].any()
    context = tiny_model.config.refine_context
    before, behind = max(first - 1 - context, 0) * HOP, (stop + context) * HOP
    assert torch.equal(samples[:, :before], whole[:, :before])
    assert torch.equal(samples[:, behind:], whole[:, behind:])
    for start, stop in ((before, before + 40 * HOP), (behind - 40 * HOP, behind)):
        with Reader(io.BytesIO(damaged), device="cpu", keep_going=True) as reader:
            stop = min(stop, reader.num_samples)
            start = min(start, stop)
            assert torch.equal(reader.read(start, stop), samples[:, start:stop])


def test_a_rotation_that_was_changed_is_found_by_the_checksum(content, tmp_path):
    entry = entries_of(content)[2]
    place = content.index(bytes([64, 50]), entry.offset)
    assert place < entry.offset + 40
    path = tmp_path / "a.hsnd"
    path.write_bytes(content[:place] + b"\x40\x33" + content[place + 2 :])
    (problem,) = verify_file(path).problems
    assert (problem.chunk, "checksum" in problem.message) == (2, True)


def test_files_are_verified_and_described(content, tmp_path):
    path = tmp_path / "a.hsnd"
    path.write_bytes(content)
    result = verify_file(path)
    assert (result.ok, result.num_chunks) == (True, 5)
    about = describe(path)
    assert (about["num_channels"], about["num_chunks"], about["duration_s"]) == (2, 5, 25)
    path.write_bytes(flipped(content, 2))
    (problem,) = verify_file(path).problems
    assert problem.chunk == 2


@pytest.mark.parametrize("rate", [None, 11_025])
def test_a_stream_decodes_to_what_the_file_decodes_to(content, tmp_path, rate):
    path = tmp_path / "a.hsnd"
    path.write_bytes(content)
    for source, target in ((path, "file.wav"), (Pipe(content), "stream.wav")):
        decode_file(source, tmp_path / target, device="cpu", rate=rate)
    assert (tmp_path / "stream.wav").read_bytes() == (tmp_path / "file.wav").read_bytes()


@pytest.mark.parametrize("block_samples", [777, 1 << 20])
def test_rotations_do_not_depend_on_the_sizes_of_blocks(content, pieces, tiny_model, block_samples):
    assert encoded(tiny_model, pieces, block_samples=block_samples) == content
