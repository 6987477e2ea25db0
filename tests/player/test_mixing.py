import numpy as np
import pytest

from hscodec.player.mixing import mixing_matrix, num_played


@pytest.mark.parametrize(
    ("num_channels", "num_available", "expected"),
    [(1, 1, 1), (1, 2, 2), (1, 8, 2), (2, 1, 1), (2, 2, 2), (2, 8, 2), (6, 2, 2), (6, 5, 2), (6, 6, 6), (8, 1, 1)],
)
def test_a_sound_goes_to_as_many_channels_as_it_has_or_to_two_or_one(num_channels, num_available, expected):
    assert num_played(num_channels, num_available) == expected


@pytest.mark.parametrize("num_channels", range(1, 9))
def test_as_many_channels_are_played_as_they_are(num_channels):
    assert mixing_matrix(num_channels, num_channels) is None


def test_one_channel_is_the_same_on_both_sides():
    np.testing.assert_array_equal(mixing_matrix(1, 2), [[1], [1]])


@pytest.mark.parametrize("num_channels", range(2, 9))
@pytest.mark.parametrize("num_outputs", [1, 2])
def test_mixing_never_clips_and_uses_all_of_the_range(num_channels, num_outputs):
    if num_channels == num_outputs:
        return
    matrix = mixing_matrix(num_channels, num_outputs)
    assert matrix is not None
    assert matrix.shape == (num_outputs, num_channels)
    assert matrix.min() >= 0
    assert matrix.sum(1) == pytest.approx(1)


@pytest.mark.parametrize("num_channels", range(3, 9))
def test_left_and_right_change_places_with_the_sides(num_channels):
    matrix = mixing_matrix(num_channels, 2)
    assert matrix is not None
    columns = sorted(map(tuple, matrix.T.tolist()))
    assert columns == sorted(map(tuple, matrix[::-1].T.tolist()))


def test_surround_keeps_the_front_in_front_and_leaves_out_low_frequency_effects():
    left, right, centre, effects, back_left, back_right = mixing_matrix(6, 2).T
    assert left[1] == right[0] == back_left[1] == back_right[0] == 0
    assert centre[0] == centre[1] == back_left[0] < left[0]
    assert effects.tolist() == [0, 0]
