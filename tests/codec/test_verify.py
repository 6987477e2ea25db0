import shutil
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch

from hscodec.codec import verify_file
from hscodec.container import ContainerReader
from hscodec.errors import FormatError
from hscodec.inr.lapped import LappedSiren


def entries(path):
    with open(path, "rb") as file:
        return ContainerReader(file).chunks


@pytest.fixture
def copy(long_file, tmp_path):
    return shutil.copy(long_file, tmp_path / "copy.hsnd")


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def test_a_whole_file_is_ok(long_file):
    result = verify_file(long_file)
    assert result.ok
    assert result.num_chunks == 2
    assert result.problems == ()


@pytest.mark.parametrize(
    ("index", "start_s", "stop_s"), [(0, 0.0, 250 * 0.02), (1, 249 * 0.02, 114_321 / 8000)]
)
def test_a_flipped_byte_is_found_with_its_seconds(copy, index, start_s, stop_s):
    entry = entries(copy)[index]
    flip(copy, entry.offset + entry.byte_length // 2)
    result = verify_file(copy)
    assert not result.ok
    (problem,) = result.problems
    assert problem.chunk == index
    assert (problem.start_s, problem.stop_s) == pytest.approx((start_s, stop_s))
    assert "checksum" in problem.message


def test_a_segment_sounds_from_the_hop_before_it():
    """Hence the seconds that are named above."""
    theta = torch.randn(1, 716, 8)
    changed = theta.clone()
    changed[:, 250:] += 1
    network = LappedSiren(8)
    different = (network.synthesize(theta, 160) != network.synthesize(changed, 160))[0].numpy()
    assert np.flatnonzero(different)[0] == round(249 * 0.02 * 8000)


def test_a_missing_chunk_is_found(copy):
    content = copy.read_bytes()
    first, second = entries(copy)
    copy.write_bytes(content[: first.offset] + content[second.offset :])
    result = verify_file(copy)
    assert [problem.message for problem in result.problems] == [
        "the seek index is missing or wrong: cut short or damaged",
        "chunks are missing",
    ]
    assert result.problems[1].stop_s == pytest.approx(5.0)


def test_a_cut_file_names_the_end_that_is_missing(copy):
    content = copy.read_bytes()
    copy.write_bytes(content[: entries(copy)[1].offset + 100])
    result = verify_file(copy)
    assert result.num_chunks == 1
    assert [problem.message for problem in result.problems][-1] == "the end is missing"
    assert result.problems[-1].start_s == pytest.approx(249 * 0.02)
    assert result.problems[-1].stop_s == pytest.approx(114_321 / 8000)


@pytest.mark.parametrize("extra", [b"\0", b"more"])
def test_bytes_behind_the_end_are_found(copy, extra):
    copy.write_bytes(copy.read_bytes() + extra)
    assert not verify_file(copy).ok


def test_wrong_symbols_behind_right_checksums_are_found(copy):
    """Only the digest can tell that a payload decodes to other symbols than were encoded."""
    entry = entries(copy)[0]
    content = bytearray(copy.read_bytes())
    content[entry.offset + 16] ^= 1  # the digest itself
    stop = entry.offset + entry.byte_length
    content[stop - 4 : stop] = zlib.crc32(content[entry.offset : stop - 4]).to_bytes(4, "little")
    copy.write_bytes(content)
    (problem,) = verify_file(copy).problems
    assert (problem.chunk, "digest" in problem.message) == (0, True)


def test_what_is_not_hsnd_is_an_error(tmp_path):
    path = tmp_path / "a.hsnd"
    path.write_bytes(b"RIFF")
    with pytest.raises(FormatError):
        verify_file(path)


def test_verifying_does_not_load_torch(long_file):
    program = (
        "import sys\nfrom hscodec.codec import verify_file\n"
        f"assert verify_file({str(long_file)!r}).ok\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
