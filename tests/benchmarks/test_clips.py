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
    (mixed_clip,) = find_clips(corpus[1:], mono=True)
    mixed, sample_rate = read_clip(mixed_clip)
    assert mixed_clip.name == "mixed/deep/stereo" and sample_rate == 22_050
    assert mixed.dtype == np.float32 and np.any(left != right)
    np.testing.assert_allclose(mixed, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize(("seconds", "num_samples"), [(None, 16_000), (0.25, 4000), (10, 16_000)])
def test_clips_are_cropped_at_their_beginning(corpus, seconds, num_samples):
    clip = find_clips(corpus)[0]
    samples, _ = read_clip(clip, seconds)
    assert samples.shape == (num_samples,)
    np.testing.assert_array_equal(samples, soundfile.read(clip.path, dtype="float32")[0][:num_samples])


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
    with pytest.raises(CorpusError, match="same name"):
        find_clips([corpus[0], corpus[0]])
