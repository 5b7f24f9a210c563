"""A submission with a network that no device holds is refused, by the memory that the setting states."""

from __future__ import annotations

import pytest

from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.flow.submit import submit, validate
from tests.service.conftest import MakeContext
from tests.service.scenes import spec

MIB = 1 << 20


def test_a_space_with_a_network_that_no_device_holds_is_refused(make_context: MakeContext) -> None:
    large = spec(parameters={"width": [8, 2_000], "depth": 2})
    with pytest.raises(SpecInvalid) as refused:
        submit(make_context(network_bytes=50 * MIB), large)
    assert [(fault.code, fault.path) for fault in refused.value.faults] == [("too_large", "parameters.width")]
    validate(make_context(network_bytes=500 * MIB), large)
