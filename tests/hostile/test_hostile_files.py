"""Every file of this folder is refused with the right words, or read, at once and in little memory.

`make_hostile.py` wrote them. What a file shows is its name.
"""

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from hscodec.cli import info
from hscodec.cli.main import main
from hscodec.codec.reader import Reader
from hscodec.codec.verify import verify_file
from hscodec.errors import AudioError, FormatError, HscodecError, ModelError
from hscodec.registry import ManifestEntry, read_model_file

FOLDER = Path(__file__).parent
GOLDEN = FOLDER.parent / "golden"
MODELS = [GOLDEN / "tiny.safetensors", GOLDEN / "tiny-context.safetensors"]
MAX_SECONDS = 2.0
MAX_BYTES = 500 * 10**6
MAX_FOLDER_BYTES = 300_000


@dataclass(frozen=True)
class Expected:
    """Words of what is said about a file; nothing where it is read.

    Attributes:
        info: By `info`.
        verify: By `verify`, as an error or as the first problem.
        read: By `Reader`.
        decode: By `decode`, if `Reader` reads the file.
        error: Class of the errors.
        is_readable: Whether a `Reader` that keeps going reads it.
        loses_chunk: Whether that reader then knows of something lost.
    """

    info: str = ""
    verify: str = ""
    read: str = ""
    decode: str = ""
    error: type[HscodecError] = FormatError
    is_readable: bool = False
    loses_chunk: bool = False


def header(words: str) -> Expected:
    """Nothing of the file can be read."""
    return Expected(info=words, verify=words, read=words)


def unfit(words: str, error: type[HscodecError] = FormatError) -> Expected:
    """The file is well-formed, but this program or this model cannot render it."""
    return Expected(verify=words, read=words, error=error)


def chunk(words: str) -> Expected:
    """A chunk is damaged."""
    return Expected(verify=words, read=words, is_readable=True, loses_chunk=True)


INDEX = Expected(verify="the seek index is missing or wrong", read="cut short or damaged", is_readable=True)
FINE = Expected()
NO_FRAME = "payload is not a valid zstd frame"
TOO_LARGE = "bytes, which does not fit 176 symbols"
RUNS = "runs of zeros do not fit the number of symbols"
LEFT = "payload does not end with its last symbol"
NO_DIGEST = "its symbols are not those that were encoded (digest mismatch)"
ZERO_BYTE = "payload is empty, or ends with a zero byte"

EXPECTED = {
    "a-wav-file": header("not a .hsnd file"),
    "bomb-of-64-mib": chunk(f"payload announces 67108864 {TOO_LARGE}"),
    "bomb-that-claims-little": chunk(NO_FRAME),
    "bytes-behind-the-tags": header("unexpected bytes behind the tags"),
    "attacks": FINE,
    "attacks-65535": chunk("payload ends within its attacks"),
    "attacks-announced-only": chunk("payload ends within its attacks"),
    "attacks-gain-0": chunk("gain in front of an attack is not in 1 to 15"),
    "attacks-gain-255": chunk("gain in front of an attack is not in 1 to 15"),
    "attacks-none": chunk("payload announces attacks and has none"),
    "attacks-not-announced": chunk(NO_FRAME),
    "attacks-of-another-channel": chunk("attack in a channel that is not there"),
    "attacks-too-early": chunk("attack at a slot that is not in 36 to 112"),
    "attacks-too-late": chunk("attack at a slot that is not in 36 to 112"),
    "attacks-too-near": chunk("attacks are not in order, or less than a hop apart"),
    "bytes-behind-the-trailer": INDEX,
    "channels-0": header("number of channels 0 is not in 1 to 64"),
    "channels-64": unfit("64 channels, at most 8 are supported"),
    "channels-255": header("number of channels 255 is not in 1 to 64"),
    "chunk-as-large-as-may-be": FINE,
    "chunk-checksum": chunk("chunk 0 (segments 0 to 8): checksum mismatch"),
    "chunk-first-segment-2-billion": INDEX,
    "chunk-first-segment-beyond-all": chunk("first segment 2097152000 is not in 0 to 2097151996"),
    "chunk-first-segment-odd": chunk("chunk starts at segment 7, which is odd"),
    "chunk-first-segment-overlaps": chunk("its header contradicts the index"),
    "chunk-inside-a-payload": INDEX,
    "chunk-last-too-early": chunk("its header contradicts the index"),
    "chunk-missing": INDEX,
    "chunk-of-too-many-symbols": chunk("4198400 weight symbols, at most 4194304 are allowed"),
    "chunk-order-2": chunk("payload is in an order for which its model has no statistics"),
    "chunk-order-3": chunk("payload is stored by layer"),
    "chunk-order-4": chunk("payload is in an order for which its model has no statistics"),
    "chunk-order-5": chunk("symbol order 5 is reserved"),
    "chunk-order-wrong": chunk("payload holds fewer symbols than its chunk has"),
    "chunk-payload-0-bytes": chunk("payload bytes 0 is not in 1 to"),
    "chunk-payload-4-gib": chunk("payload bytes 4294967295 is not in 1 to"),
    "chunk-payload-64-mib": chunk("its header contradicts the index"),
    "chunk-segments-0": chunk("segments in a chunk 0 is not in 2 to 2000"),
    "chunk-segments-6": chunk("its header contradicts the index"),
    "chunk-segments-7": chunk("chunk of 7 segments, which is odd"),
    "chunk-segments-2002": chunk("segments in a chunk 2002 is not in 2 to 2000"),
    "chunk-twice": chunk("chunk 1 (segments 8 to 16): its header contradicts the index"),
    "chunks-swapped": chunk("its header contradicts the index"),
    "content-of-another-chunk": chunk("payload holds fewer symbols than its chunk has"),
    "content-one-byte-too-many": chunk(RUNS),
    "content-size-of-2-pow-64": chunk(f"payload announces 18446744073709551614 {TOO_LARGE}"),
    "content-size-of-4-gib": chunk(f"payload announces 4294967296 {TOO_LARGE}"),
    "content-size-one-too-few": chunk(NO_FRAME),
    "content-size-one-too-many": chunk(NO_FRAME),
    "content-size-unknown": chunk("payload"),
    "content-too-short": chunk("payload holds fewer symbols than its chunk has"),
    "context": FINE,
    "context-as-large-as-may-be": FINE,
    "context-attacks": FINE,
    "context-cut": chunk(LEFT),
    "context-cut-from-the-front": chunk(LEFT),
    "context-empty-behind-attacks": chunk(ZERO_BYTE),
    "context-ends-with-a-zero-byte": chunk(ZERO_BYTE),
    "context-leftover-state": chunk(LEFT),
    "context-leftover-words": chunk(LEFT),
    "context-magnitude-that-has-a-token": chunk("payload writes out a magnitude that has a token"),
    "context-of-another-chunk": chunk(LEFT),
    "context-random-words": chunk(LEFT),
    "context-pair": FINE,
    "context-pair-agreement-0": chunk("a coupling takes equal signs for impossible"),
    "context-pair-as-context": chunk(LEFT),
    "context-pair-backwards": chunk("couplings are not in ascending order"),
    "context-pair-cut": chunk("payload ends within its couplings"),
    "context-pair-loudness-17": chunk("a coupling has 17 parts of loudness in 16"),
    "context-pair-none": chunk("payload announces couplings and has none"),
    "context-pair-of-a-silent-channel": chunk("channel 1 is coupled, and nothing is stored of it"),
    "context-pair-of-another-channel": chunk("channel 3 is coupled, and nothing is stored of it"),
    "context-pair-of-one-channel": chunk("a channel is coupled twice"),
    "context-pair-of-other-channels": chunk(NO_DIGEST),
    "context-pair-twice": chunk("a channel is coupled twice"),
    "context-pair-without-symbols": chunk(ZERO_BYTE),
    "context-narrow": FINE,
    "context-narrow-alone": chunk(ZERO_BYTE),
    "context-narrow-announced-only": chunk("bandwidth leaves out 0 of 20 weights"),
    "context-narrow-by-everything": chunk("bandwidth leaves out 24 of 20 weights"),
    "context-narrow-by-nothing": chunk("bandwidth leaves out 0 of 20 weights"),
    "context-narrow-not-announced": chunk(LEFT),
    "context-narrow-of-other-weights": chunk(LEFT),
    "context-rotations": FINE,
    "context-rotations-alone": chunk(ZERO_BYTE),
    "context-rotations-cut": chunk("payload ends within its rotations"),
    "context-rotations-silent": FINE,
    "context-rotations-silent-and-stored": chunk(LEFT),
    "context-symbol-beyond-32-bits": chunk("payload holds a symbol beyond 32 bits"),
    "context-two-zero-bytes": chunk(ZERO_BYTE),
    "context-zeros": chunk("its symbols are not those that were encoded"),
    "context-zstd": chunk(LEFT),
    "empty-file": header("not a .hsnd file: it is empty"),
    "escape-of-small-value": chunk("payload escapes a value that fits into a byte"),
    "escapes-without-values": chunk("payload holds fewer large values than it announces"),
    "gain-0": header("gain 0.0 is not a positive float32"),
    "gain-infinite": header("gain inf is not a positive float32"),
    "gain-largest": Expected(decode="not-finite samples", error=AudioError),
    "gain-nan": header("gain nan is not a positive float32"),
    "gain-negative": header("gain -1.0 is not a positive float32"),
    "half-a-magic": header("truncated: the file ends inside its header"),
    "header-bytes-67": header("header: 67 bytes are too few"),
    "header-bytes-65535": header("truncated: the file ends inside its header"),
    "header-checksum": header("header: checksum mismatch"),
    "header-cut": header("truncated: the file ends inside its header"),
    "hop-0": header("hop in seconds 0 is not in 1/4294967295 to 60"),
    "hop-0-over-0": header("hop of 0/0 s is not a fraction in lowest terms"),
    "hop-2-over-100": header("hop of 2/100 s is not a fraction in lowest terms"),
    "hop-61-s": header("hop in seconds 61 is not in 1/4294967295 to 60"),
    "hop-a-quarter-of-a-nanosecond": unfit("target network is not the lapped SIREN that its model renders"),
    "index-entry-of-4-gib": INDEX,
    "index-of-too-many-chunks": INDEX,
    "index-overlaps": chunk("its header contradicts the index"),
    "index-segments-differ": chunk("its header contradicts the index"),
    "large-value-without-escape": chunk("payload holds 4 bytes too many"),
    "latent-extreme": FINE,
    "major-2": header("made by a newer version: it has format 2.0"),
    "markers-everywhere": INDEX,
    "markers-that-claim-the-rest": INDEX,
    "no-model": unfit("the model with id 00000000000000000000000000000000", ModelError),
    "quality-1001": header("quality 1001 is not in 0 to 1000"),
    "rate-0": header("sample rate 0 is not in 1 to 768000"),
    "rate-1": Expected(read="its rate of 1 Hz is not supported"),
    "rate-383999": FINE,
    "rate-768000": Expected(read="its rate of 768000 Hz is not supported"),
    "rate-4294967295": header("sample rate 4294967295 is not in 1 to 768000"),
    "reserved-flag": header("reserved bits are set (flags 0x0001)"),
    "rotations": FINE,
    "narrow": FINE,
    "narrow-by-255": chunk("bandwidth leaves out 2040 of 20 weights"),
    "narrow-ends-in-front-of-it": chunk("payload ends before its bandwidth"),
    "narrow-not-announced": chunk(NO_FRAME),
    "narrow-of-all-weights": chunk("payload holds 44 bytes too many"),
    "rotations-alone": chunk(NO_FRAME),
    "rotations-announced-only": chunk(NO_FRAME),
    "rotations-behind-attacks": FINE,
    "rotations-cut": chunk("payload ends within its rotations"),
    "rotations-in-front-of-attacks": chunk("payload ends within its attacks"),
    "rotations-none": chunk("payload announces rotations and has none"),
    "rotations-not-announced": chunk(NO_FRAME),
    "rotations-of-one-channel": chunk("payload announces rotations and has none"),
    "rotations-of-one-pair": chunk(NO_FRAME),
    "rotations-of-quality-0": FINE,
    "rotations-silent": FINE,
    "rotations-silent-and-stored": chunk("a value between runs of zeros is zero"),
    "rotations-without-the-second-channel": chunk("payload holds fewer symbols than its chunk has"),
    "run-value-zero": chunk("a value between runs of zeros is zero"),
    "runs-of-25-million-bytes": chunk("a value between runs of zeros is zero"),
    "runs-of-25-million-times-255": chunk(RUNS),
    "runs-too-long": chunk(RUNS),
    "runs-without-end": chunk(RUNS),
    "samples-2-pow-40": INDEX,
    "samples-2-pow-63": header("number of samples 9223372036854775808 is not in 0 to 1099511627776"),
    "samples-one-too-many": INDEX,
    "sent-in-text-mode": header("as by a transfer in text mode"),
    "symbol-digest": chunk("its symbols are not those that were encoded"),
    "symbols-and-latent-extreme": FINE,
    "symbols-extreme": FINE,
    "tag-longer-than-the-header": header("the tags are longer than the header"),
    "tag-without-key": header("tag key bytes 0 is not in 1 to 255"),
    "tags-65535-claimed": header("the tags are longer than the header"),
    "tags-not-utf8": header("not UTF-8"),
    "tags-over-the-cap": header("tag bytes 32772 is not in 0 to 32768"),
    "tags-that-drive-the-terminal": FINE,
    "target-network-1": header("the network record is missing"),
    "target-network-3": header("target network 3 is reserved"),
    "trailer-checksum": INDEX,
    "trailer-cut": INDEX,
    "trailer-longer-than-the-file": INDEX,
    "trailer-missing": INDEX,
    "trailer-of-0-bytes": INDEX,
    "trailer-of-4-billion-chunks": INDEX,
    "trailer-of-another-file": INDEX,
    "trailer-samples-2-pow-64": INDEX,
    "two-files-in-one": INDEX,
    "unknown-model": unfit("the model with id 34120000000000000000000000000000", ModelError),
    "weights-0": header("number of weights 0 is not in 1 to 1048576"),
    "weights-641": unfit("641 weights per segment, its model at most 640"),
    "weights-1048577": header("number of weights 1048577 is not in 1 to 1048576"),
    "zstd-dictionary": chunk(NO_FRAME),
    "zstd-empty-frame": chunk("payload holds fewer symbols than its chunk has"),
    "zstd-extra-bytes": chunk(NO_FRAME),
    "zstd-garbage": chunk(NO_FRAME),
    "zstd-reserved-bit": chunk(NO_FRAME),
    "zstd-skippable-frame": chunk(NO_FRAME),
    "zstd-skippable-frame-before": chunk(NO_FRAME),
    "zstd-skippable-frame-of-4-gib": chunk(f"payload announces 4294967295 {TOO_LARGE}"),
    "zstd-truncated": chunk(NO_FRAME),
    "zstd-two-frames": chunk(NO_FRAME),
    "zstd-window-of-3-tib": chunk(NO_FRAME),
    "zstd-wrong-checksum": chunk(NO_FRAME),
}

EXPECTED |= {
    "layered": FINE,
    "layered-as-plain-order": chunk("are stored by layer, with nothing in front of them"),
    "layered-with-attacks": chunk("are stored by layer, with nothing in front of them"),
    "layered-with-bandwidth": chunk("are stored by layer, with nothing in front of them"),
    "layered-bits-1": chunk("symbols of 1 bits; 2 to 16 are possible"),
    "layered-bits-17": chunk("symbols of 17 bits; 2 to 16 are possible"),
    "layered-bits-too-few": chunk("a symbol is beyond 5 bits"),
    "layered-bits-too-many": chunk("payload does not announce the 141 bytes that its chunk has"),
    "layered-groups-0": chunk("0 groups of symbols; 1 to 256 are possible"),
    "layered-groups-65535": chunk("65535 groups of symbols; 1 to 256 are possible"),
    "layered-groups-256-of-4-gib": chunk("payload: 1099511627520 symbols in groups are not the 13 of a segment"),
    "layered-groups-too-long": chunk("are not the 13 of a segment"),
    "layered-groups-of-another-network": Expected(
        read="its layers are not those of the network", is_readable=True, loses_chunk=True
    ),
    "layered-payload-of-2-bytes": chunk("payload is shorter than its own description"),
    "layered-bomb": chunk("payload does not announce the 140 bytes that its chunk has"),
    "layered-scales-not-finite": chunk("a scale is negative or not finite"),
    "layered-scales-negative": chunk("a scale is negative or not finite"),
    "layered-scales-huge": chunk(NO_DIGEST),
    "layered-hidden-layers-0": header("hidden layers 0 is not in 1 to 32"),
    "layered-hidden-layers-255": header("hidden layers 255 is not in 1 to 32"),
    "layered-width-65535": header("width 65535 is not in 1 to 1024"),
    "layered-width-5": Expected(read="13 numbers per segment, its network has 16"),
    "layered-network-of-33-million-weights": Expected(read="is too large"),
    "layered-omega-nan": header("omega_0 nan is not in 0 to 1e+06"),
    "layered-bottleneck-without-model": Expected(read="stores a bottleneck and names no model"),
    "layered-storage-2": header("storage of a network 2 is reserved"),
    "layered-record-reserved": header("its reserved byte is 1"),
}

each_file = pytest.mark.parametrize("name", EXPECTED)


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory):
    """Put the models where they are looked for by id, and build their networks, which are not a file's fault."""
    folder = tmp_path_factory.mktemp("hostile")
    entries = []
    for path in MODELS:
        shutil.copy(path, folder)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        entries.append(asdict(ManifestEntry(name=path.stem, file=path.name, sha256=sha256)))
        read_model_file(path, path.stem).network(torch.device("cpu"))
    (folder / "manifest.json").write_text(json.dumps({"models": entries}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSCODEC_MODELS", str(folder))
        yield


@contextlib.contextmanager
def guarded():
    """Fail if the block takes too long, in time of the processor, or too much memory."""
    unit = 1 if sys.platform == "darwin" else 1024
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    start = time.process_time()
    yield
    seconds = time.process_time() - start
    num_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before
    assert seconds < MAX_SECONDS
    assert num_bytes < MAX_BYTES


def path_of(name):
    return FOLDER / f"{name}.hsnd"


def expect(words, error):
    """Return a context in which these words must be said as an error; nothing may be, if there are no words."""
    return pytest.raises(error, match=re.escape(words)) if words else contextlib.nullcontext()


def test_every_file_is_expected_and_small():
    assert sorted(path.stem for path in FOLDER.glob("*.hsnd")) == sorted(EXPECTED)
    assert sum(path.stat().st_size for path in FOLDER.glob("*.hsnd")) < MAX_FOLDER_BYTES


@each_file
def test_info(name):
    with guarded(), expect(EXPECTED[name].info, EXPECTED[name].error):
        assert json.dumps(info.describe(path_of(name)), allow_nan=False)


@each_file
def test_verify(name):
    words = EXPECTED[name].verify
    with guarded():
        try:
            result = verify_file(path_of(name))
        except HscodecError as error:
            assert type(error) is EXPECTED[name].error
            assert words and words in str(error)
            return
    assert result.ok == (not words)
    assert not words or words in result.problems[0].message


@each_file
def test_reader(name):
    with guarded(), expect(EXPECTED[name].read, EXPECTED[name].error), Reader(path_of(name), device="cpu") as reader:
        first = reader.read(0, 100)
        last = reader.read(max(reader.num_samples - 100, 0))
        assert first.shape == last.shape == (reader.num_channels, 100)


@each_file
def test_a_reader_that_keeps_going(name):
    """What other readers refuse may be read, but nothing worse may happen."""
    expected = EXPECTED[name]
    words = "" if expected.is_readable else expected.read
    with guarded(), expect(words, expected.error), Reader(path_of(name), device="cpu", keep_going=True) as reader:
        length = reader.num_samples
        for start in (0, length // 2, max(length - 100, 0)):
            stop = min(start + 100, length)
            assert reader.read(start, stop).shape == (reader.num_channels, stop - start)
        assert reader.lost or not expected.loses_chunk


@each_file
@pytest.mark.parametrize("source", ["file", "stream"])
def test_decoding_by_command_fails_with_one_line(name, source, tmp_path):
    words = EXPECTED[name].read or EXPECTED[name].decode
    target = tmp_path / "out.wav"
    given = str(path_of(name)) if source == "file" else "-"
    data = None if source == "file" else path_of(name).read_bytes()
    with guarded():
        result = CliRunner().invoke(
            main, ["decode", given, "-o", str(target), "--quiet", "--device", "cpu"], input=data
        )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if not words:
        assert (result.exit_code, result.stderr) == (0, "")
        return
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("hscodec: error: ")
    assert source == "stream" or words in line
    assert os.listdir(tmp_path) == []


@each_file
@pytest.mark.parametrize("command", ["info", "verify"])
def test_other_commands_say_what_is_wrong(name, command):
    words = EXPECTED[name].info if command == "info" else EXPECTED[name].verify
    result = CliRunner().invoke(main, [command, str(path_of(name))])
    assert result.exit_code == bool(words)
    assert words in result.output
    assert result.output.replace("\n", "").isprintable()
