import pytest

from hscodec.coding.channel_pairs import channel_pairs


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        ("M", []),
        ("FL FR", ["FL FR"]),
        ("FL FR FC", ["FL FR"]),
        ("FL FR BL BR", ["FL FR", "BL BR"]),
        ("FL FR FC BL BR", ["FL FR", "BL BR"]),
        ("FL FR FC LFE BL BR", ["FL FR", "BL BR"]),
        ("FL FR FC LFE BC SL SR", ["FL FR", "SL SR"]),
        ("FL FR FC LFE BL BR SL SR", ["FL FR", "BL BR", "SL SR"]),
    ],
)
def test_left_and_right_are_pairs(names, pairs):
    """The orders of channels are those of WAV and FLAC (RFC 9639, section 9.1.3)."""
    channels = names.split()
    assert [f"{channels[first]} {channels[second]}" for first, second in channel_pairs(len(channels))] == pairs


def test_channels_beyond_any_layout_are_paired_as_they_follow():
    assert channel_pairs(0) == []
    assert channel_pairs(9) == [(0, 1), (2, 3), (4, 5), (6, 7)]
