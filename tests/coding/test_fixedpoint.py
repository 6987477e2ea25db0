import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hscodec.coding import fixedpoint
from hscodec.coding.fixedpoint import FixedPointTables, latent_from_residuals, latent_residuals, scale_classes
from hscodec.errors import ModelError
from hscodec.training.fixed_point import fixed_point_tables

QUALITIES = [0, 1, 99, 100, 437, 500, 950, 999, 1000]
INT32 = st.integers(-(2**31), 2**31 - 1)


@given(
    hnp.arrays(np.int32, hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=5), elements=INT32),
    st.integers(0, 256),
)
def test_latent_prediction_can_be_undone(latent, coefficient):
    prediction = np.full(latent.shape[2], coefficient, np.int32)
    residuals = latent_residuals(latent, prediction)
    assert residuals.dtype == np.int32
    restored = latent_from_residuals(residuals, prediction)
    assert restored.dtype == np.int32
    np.testing.assert_array_equal(restored, latent)


def test_latent_prediction_rounds_down_at_one_half():
    latent = np.array([3, 3, -3, -3, 0], np.int32).reshape(1, 5, 1)
    # floor((128 * 3 + 128) / 256) = 2, floor((128 * -3 + 128) / 256) = -1
    assert latent_residuals(latent, np.array([128], np.int32)).reshape(-1).tolist() == [3, 1, -5, -2, 1]


@pytest.mark.parametrize("quality", QUALITIES)
def test_classes_are_the_documented_ones(make_tables, make_symbols, documented, quality):
    tables, latent = make_tables(), make_symbols(shape=(2, 12, 20), large=False).latent
    classes = scale_classes(tables, latent, quality, 20)
    assert classes.dtype == np.uint8
    assert classes.shape == (2, 12, 20)
    np.testing.assert_array_equal(classes, documented(tables, quality).classes(latent, 20))
    assert len(np.unique(classes)) >= 12


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), quality=st.integers(0, 1000), data=st.data())
def test_extreme_values_are_exact(make_tables, documented, seed, quality, data):
    tables = make_tables(seed=seed, extreme=True)
    latent = data.draw(hnp.arrays(np.int32, (1, 4, 3), elements=INT32))
    expected = documented(tables, quality).classes(latent, 20)
    np.testing.assert_array_equal(scale_classes(tables, latent, quality, 20), expected)


def test_fewer_weights_are_the_first_ones(make_tables, make_symbols):
    tables, latent = make_tables(), make_symbols().latent
    whole = scale_classes(tables, latent, 437, 20)
    np.testing.assert_array_equal(scale_classes(tables, latent, 437, 7), whole[..., :7])


def test_channels_do_not_meet(make_tables, make_symbols):
    tables, latent = make_tables(), make_symbols(shape=(5, 8, 20)).latent
    whole = scale_classes(tables, latent, 437, 20)
    single = [scale_classes(tables, latent[c : c + 1], 437, 20) for c in range(5)]
    np.testing.assert_array_equal(whole, np.concatenate(single))


@pytest.mark.parametrize("qualities", [(437, 0), (0, 437), (1000, 1000), (50, 950)])
def test_channels_may_have_qualities_of_their_own(make_tables, make_symbols, qualities):
    tables, latent = make_tables(), make_symbols().latent
    both = scale_classes(tables, latent, np.array(qualities), 20)
    single = [scale_classes(tables, latent[c : c + 1], quality, 20) for c, quality in enumerate(qualities)]
    np.testing.assert_array_equal(both, np.concatenate(single))


def test_empty_chunk(make_tables):
    assert scale_classes(make_tables(), np.zeros((2, 0, 3), np.int32), 500, 20).shape == (2, 0, 20)


WIDE = """
import sys
import numpy as np
sys.path[:0] = [{folder!r}]
from conftest import _make_tables
from hscodec.coding.fixedpoint import scale_classes
tables = _make_tables(channels=16, width=160, num_weights=960, spread=2.0)
latent = np.random.default_rng(1).integers(-40, 40, (2, 60, 16), dtype=np.int32)
sys.stdout.buffer.write(scale_classes(tables, latent, 437, 960).tobytes())
"""


def test_thread_counts_do_not_matter(make_tables, documented):
    """At the size of the shipped model, against sums in 64-bit integers."""
    tables = make_tables(channels=16, width=160, num_weights=960, spread=2.0)
    latent = np.random.default_rng(1).integers(-40, 40, (2, 60, 16), dtype=np.int32)
    expected = documented(tables, 437).classes(latent, 960).astype(np.uint8).tobytes()
    assert scale_classes(tables, latent, 437, 960).tobytes() == expected
    program = WIDE.format(folder=os.path.dirname(__file__))
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads)
        result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(expected).digest()


@pytest.mark.parametrize("quality", [0, 250, 500, 733, 1000])
def test_integers_follow_the_float_network(tiny_network, quality):
    """The exported tables predict the classes that the trained network means, up to rounding at a joint."""
    tables = fixed_point_tables(tiny_network)
    latent = np.random.default_rng(0).integers(-6, 7, (2, 30, 4), dtype=np.int32)
    each = torch.full((2,), quality / 100)
    with torch.inference_mode():
        steps = tiny_network.prior.step(each)
        log_scale = tiny_network.scale(torch.from_numpy(latent) * steps, each)
    expected = torch.floor((log_scale + 6) * (16 / 12)).clamp(0, 15).int().numpy()
    classes = scale_classes(tables, latent, quality, 960).astype(int)
    assert len(np.unique(expected)) >= 12
    assert np.mean(np.abs(classes - expected) <= 1) > 0.9999
    assert np.mean(classes == expected) > 0.9


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("enter", lambda table: table.astype(np.float64), "is float64, not int32"),
        ("enter", lambda table: table.astype(np.int64), "is int64, not int32"),
        ("enter_bias", lambda table: table.astype(np.int32), "is int32, not int64"),
        ("enter_bias", lambda table: table.astype(np.uint64), "is uint64, not int64"),
        ("leave", lambda table: np.full_like(table, 2**16 + 1), "beyond 65536"),
        ("leave", lambda table: np.full_like(table, -(2**31)), "beyond 65536"),
        ("unpair_bias", lambda table: np.full_like(table, -(2**63)), "beyond"),
        ("unpair_bias", lambda table: np.full_like(table, 2**44 + 1), "beyond"),
        ("prediction", lambda table: table - 257, "outside 0 to 256"),
        ("prediction", lambda table: table + 257, "outside 0 to 256"),
        ("prediction", lambda table: table[:0], "is empty"),
        ("prediction", lambda table: table[0], "is empty"),
        ("prediction", lambda table: table[:2], "has the shape"),
        ("latent_step", lambda table: table[:2], "has the shape"),
        ("leave_bias", lambda table: table[:, :-1], "has the shape"),
        ("leave", lambda table: table.reshape(-1), "has the shape"),
        ("segment_mix", lambda table: table.T, "has the shape"),
        ("unpair", lambda table: table[:, :-1], "has the shape"),
    ],
)
def test_bad_tables_are_refused(make_tables, name, change, message):
    tables = make_tables()
    with pytest.raises(ModelError, match=f"table {name}.* {message}|table .* {message}"):
        replace(tables, **{name: np.asarray(change(getattr(tables, name)))})


def test_tables_too_wide_for_exact_sums_are_refused():
    width = 2731  # 3 * width is just above 2^13

    def zeros(*shape, dtype=np.int32):
        return np.zeros(shape, dtype)

    with pytest.raises(ModelError, match="too wide"):
        FixedPointTables(
            prediction=zeros(1),
            latent_step=zeros(11, 1),
            enter=zeros(5, width),
            enter_bias=zeros(11, width, dtype=np.int64),
            latent_mix=zeros(3 * width, width),
            latent_mix_bias=zeros(width, dtype=np.int64),
            unpair=zeros(width, 2 * width),
            unpair_bias=zeros(2 * width, dtype=np.int64),
            segment_mix=zeros(3 * width, width),
            segment_mix_bias=zeros(width, dtype=np.int64),
            leave=zeros(width, 1),
            leave_bias=zeros(11, 1, dtype=np.int64),
        )


def test_products_are_the_same_with_torch_and_without(monkeypatch):
    random = np.random.default_rng(0)
    values = random.integers(-(2**22), 2**22, (2, 50, 480)).astype(np.float64)
    matrix = random.integers(-(2**16), 2**16, (480, 160)).astype(np.float64)
    with_torch = fixedpoint._product(values, matrix)
    monkeypatch.delitem(sys.modules, "torch")
    without = fixedpoint._product(values, matrix)
    np.testing.assert_array_equal(with_torch, without)
    exact = values.astype(np.int64) @ matrix.astype(np.int64)
    np.testing.assert_array_equal(with_torch, exact.astype(np.float64))
