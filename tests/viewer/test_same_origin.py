"""The viewer answers its own page and programs, and no page of another origin."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import viser
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from nerfstudio_hands.viewer.nerfstudio_patches import patch_viewer
from nerfstudio_hands.viewer.same_origin import refusal


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Port of a viewer's server on this machine."""
    patch_viewer()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    server = viser.ViserServer(host="127.0.0.1", port=free, verbose=False)
    yield server.get_port()
    server.stop()


def answer(port: int, path: str, host: str) -> bytes:
    """What the server sends for a path that no client has tidied up."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_its_own_page_and_programs_may_use_it(port: int, host: str):
    for origin in (f"http://{host}:{port}", None):
        with connect(f"ws://{host}:{port}", origin=origin) as client:
            assert len(client.recv(timeout=20)) > 0
    page = answer(port, "/", f"{host}:{port}")
    assert page.startswith(b"HTTP/1.1 200") and b"<title>Viser" in page


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:1", "null", "http://localhost:x", "file://"]
)
def test_no_other_page_may(port: int, origin: str):
    with pytest.raises(InvalidStatus) as caught, connect(f"ws://localhost:{port}", origin=origin):
        pass
    assert caught.value.response.status_code == 403
    assert b"no other page may use the viewer" in caught.value.response.body


def test_a_name_that_was_made_to_point_here_is_refused(port: int):
    assert answer(port, "/", f"evil.example:{port}").startswith(b"HTTP/1.1 403")
    headers = {"Host": f"evil.example:{port}"}
    with socket.create_connection(("127.0.0.1", port)) as connection, pytest.raises(InvalidStatus) as caught:
        connect(f"ws://evil.example:{port}", sock=connection, origin=f"http://evil.example:{port}").__enter__()
    assert caught.value.response.status_code == 403 and headers["Host"].encode() in caught.value.response.body


@pytest.mark.parametrize("path", ["/../__init__.py", "/assets/../../__init__.py", "/assets/..", "//etc/hostname"])
def test_no_file_beside_the_page_is_served(port: int, path: str):
    assert answer(port, path, f"localhost:{port}").startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:8888", "Origin": "http://localhost:8888"},  # carried by SSH from another port
        {"Host": "[::1]:7007", "Origin": "http://[::1]:7007"},
        {"Host": "192.168.1.5:7007", "Origin": "http://192.168.1.5:7007"},
        {"Host": f"{socket.gethostname()}:7007", "Origin": f"http://{socket.gethostname()}:7007"},
        {"Host": "127.0.0.1:7007", "X-Forwarded-Host": "hands.example.org", "Origin": "https://hands.example.org"},
        {"Host": "127.0.0.1:7007", "X-Forwarded-Host": "hands.example.org", "Origin": "https://hands.example.org:8443"},
        {
            "Host": "hands.example.org",
            "X-Forwarded-Host": "hands.example.org, inner",
            "Origin": "https://hands.example.org",
        },
        {"Host": "abc.share.viser.studio", "Origin": "https://abc.share.viser.studio"},
        {"Host": "localhost"},
    ],
)
def test_headers_of_the_viewers_own_page(headers: dict[str, str]):
    assert refusal("/?a=../b", headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": ""},
        {"Host": "[::1"},
        {"Host": "hands.example.org", "Origin": "http://hands.example.org"},
        {"Host": "localhost.example.org:7007"},
        {"Host": "share.viser.studio.example.org"},
        {"Host": "localhost:7007", "Origin": "http://localhost:7007@evil.example"},
        {"Host": "localhost:7007", "Origin": "http://localhost:7008"},
        {"Host": "localhost:7007", "Origin": ""},
        {"Host": "localhost:7007", "X-Forwarded-Host": "hands.example.org", "Origin": "https://evil.example"},
    ],
)
def test_headers_of_another_page(headers: dict[str, str]):
    sentence = refusal("/", headers)
    assert sentence.startswith("Expected ") and "found" in sentence


@pytest.mark.parametrize(
    "path", ["/..", "/a/../b", "/..\\secret", "/a\\..\\..\\b", "/C:/secret", "//etc/passwd", "http://a/b"]
)
def test_paths_that_lead_elsewhere(path: str):
    assert "leads elsewhere" in refusal(path, {"Host": "localhost"})
