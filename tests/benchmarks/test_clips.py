import numpy as np
import pytest
import soundfile

from benchmarks.clips import corpus_sha256, find_clips, read_clip
from hscodec.errors import CorpusError


def test_clips_are_found_below_folders_and_split_into_channels(corpus):
    names = [clip.name for clip in find_clips(corpus)]
    assert names == ["voices/clip-0", "voices/clip-1", "voices/clip-2", "mixed/deep/stereo#1", "mixed/deep/stereo#2"]


def test_the_limit_counts_the_files_of_each_folder(corpus):
    names = [clip.name for clip in find_clips(corpus, limit=2)]
    assert names == ["voices/clip-0", "voices/clip-1", "mixed/deep/stereo#1", "mixed/deep/stereo#2"]


def test_channels_are_read_apart_or_mixed(corpus):
    left, right = (read_clip(clip)[0] for clip in find_clips(corpus[1:]))
    (mixed_clip,) = find_clips(corpus[1:], channels="mono")
    mixed, sample_rate = read_clip(mixed_clip)
    assert mixed_clip.name == "mixed/deep/stereo" and sample_rate == 22_050
    assert mixed.dtype == np.float32 and np.any(left != right)
    assert left.shape == right.shape == mixed.shape == (1, 22_050)
    np.testing.assert_allclose(mixed, (left + right) / 2, atol=1e-7)


def test_stereo_clips_are_the_first_two_channels_of_the_files_that_have_them(corpus, stereo):
    more = np.concatenate([stereo(8000, 0.5), np.ones((1, 4000), np.float32)])
    soundfile.write(corpus[0] / "z-three-channels.wav", more.T, 8000, subtype="FLOAT")
    clips = find_clips(corpus, limit=1, channels="stereo")
    assert [clip.name for clip in clips] == ["voices/z-three-channels", "mixed/deep/stereo"]
    for clip, expected in zip(clips, (more[:2], stereo(22_050, 1.0)), strict=True):
        samples, _ = read_clip(clip)
        assert samples.flags.c_contiguous
        np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize(("seconds", "num_samples"), [(None, 16_000), (0.25, 4000), (10, 16_000)])
def test_clips_are_cropped_at_their_beginning(corpus, seconds, num_samples):
    clip = find_clips(corpus)[0]
    samples, _ = read_clip(clip, seconds)
    assert samples.shape == (1, num_samples)
    np.testing.assert_array_equal(samples[0], soundfile.read(clip.path, dtype="float32")[0][:num_samples])


def test_the_corpus_hash_tells_files_and_names_but_not_their_order(corpus):
    clips = find_clips(corpus)
    digest = corpus_sha256(clips)
    assert corpus_sha256(reversed(clips)) == digest
    assert corpus_sha256(clips[1:]) != digest
    clips[0].path.write_bytes(clips[1].path.read_bytes())
    assert corpus_sha256(clips) != digest


def test_folders_without_audio_or_with_equal_names_are_refused(corpus, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(CorpusError, match="no audio files"):
        find_clips([tmp_path / "nothing"])
    with pytest.raises(CorpusError, match="no stereo files"):
        find_clips(corpus[:1], channels="stereo")
    with pytest.raises(CorpusError, match="same name"):
        find_clips([corpus[0], corpus[0]])
