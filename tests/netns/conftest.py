"""Two hosts, with IPv4 or IPv6 alone."""

import os
import shutil

import pytest
from support.two_hosts import Hosts


@pytest.fixture
def hosts(tmp_path, request):
    """Their addresses are of the version that a test asks for: 4, or ``@pytest.mark.parametrize("hosts", [6]…``."""
    if shutil.which("ip") is None or os.geteuid():
        pytest.skip("needs root and Debian's iproute2")
    made = Hosts(tmp_path, getattr(request, "param", 4))
    yield made
    made.close()
