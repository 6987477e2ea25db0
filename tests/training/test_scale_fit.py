import copy
from itertools import repeat

import numpy as np
import torch

from hscodec.training.data import Batch
from hscodec.training.scale_fit import fit_scale_network


def test_fit_lowers_the_rate_and_touches_nothing_else(tiny_network):
    network = copy.deepcopy(tiny_network).requires_grad_(True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = np.random.default_rng(0)
    batch = Batch(
        0.1 * random.standard_normal((2, 17 * 960)).astype(np.float32), np.array([960, 320]), np.array([True, False])
    )

    def rate_kbps() -> float:
        torch.manual_seed(0)  # the same qualities
        return fit_scale_network(network, repeat(batch), steps=1)

    first = rate_kbps()
    fit_scale_network(network, repeat(batch), steps=60)
    assert rate_kbps() < 0.97 * first
    after = network.state_dict()
    assert {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])} == {"scale"}
