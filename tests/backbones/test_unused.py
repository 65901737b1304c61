"""What a result does not depend on goes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard.backbones.unused import keep_only


def test_keeps_what_is_needed_and_the_mode():
    network = nn.ModuleDict({"used": nn.Linear(2, 2), "unused": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))})
    x = torch.randn(1, 2)
    result = keep_only(network, lambda: network["used"](x))
    assert torch.equal(result, network["used"](x))
    assert network.state_dict().keys() == {"used.weight", "used.bias"}
    assert network.training


def test_a_parameter_that_cannot_go_is_named():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.token = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))

    network = Both()
    with pytest.raises(ValueError, match="Both: token does not reach the last map, yet can't be taken away"):
        keep_only(network, lambda: network.used)
