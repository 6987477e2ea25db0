import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hscodec.coding.order import NUM_CLASSES, Order, class_order, sort_symbols, unsort_symbols
from hscodec.container.format import ChunkOrder

CLASSES = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=6),
    elements=st.integers(0, NUM_CLASSES - 1),
)


@given(CLASSES)
def test_sorting_can_be_undone(classes):
    symbols = np.arange(classes.size, dtype=np.int32).reshape(classes.shape)
    ordered = sort_symbols(symbols, classes)
    assert ordered.shape == (classes.size,)
    np.testing.assert_array_equal(unsort_symbols(ordered, classes), symbols)


@given(CLASSES)
def test_order_is_by_class_then_by_position(classes):
    flat = classes.reshape(-1).tolist()
    expected = [position for _, position in sorted(zip(flat, range(len(flat)), strict=True))]
    assert class_order(classes).tolist() == expected


def test_order_codes_are_the_containers():
    assert {order.name: int(order) for order in Order} == {order.name: int(order) for order in ChunkOrder}
