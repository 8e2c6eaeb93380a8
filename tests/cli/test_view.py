"""Where `ns-hands view` may be served."""

from __future__ import annotations

import socket

import pytest

from nerfstudio_hands.cli.view import check_address, page_address
from nerfstudio_hands.errors import HandsError


def test_a_port_that_is_taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(HandsError, match=rf"127.0.0.1:{port}: expected .* free port, found .* --port or --host"):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 300, ""])
def test_an_address_of_no_machine_here(host: str):
    """The first is set aside for documentation and belongs to nobody."""
    with pytest.raises(HandsError, match="expected an address of this machine"):
        check_address(host, 7007)


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("0.0.0.0", "localhost"), ("127.0.0.1", "127.0.0.1")])
def test_what_is_said_can_be_opened(host: str, shown: str):
    assert page_address(host, 7007) == f"http://{shown}:7007"
