"""No error, log line or repr shows a credential."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shipper import client, settings
from shipper.errors import Refused, SettingsError

VALUE = "hunter2secret"


def load(**environment: str) -> settings.Settings:
    return settings.load(environment={f"SHIPPER_{name.upper()}": value for name, value in environment.items()})


@pytest.mark.parametrize(
    "url",
    [
        f"https://ann:{VALUE}@search:92000",
        f"https://ann:{VALUE}@search:port",
        f"https://ann:{VALUE}/x@search:9200",
        f"https://ann:#{VALUE}@search:9200",
        f"https://ann:?{VALUE}@search:9200",
        f"https://ann:{VALUE}@[search:9200",
        f"http:/ann:{VALUE}@search:9200",
        f"ftp://ann:{VALUE}@search",
        f"https://ann:{VALUE} @search",
    ],
)
@pytest.mark.parametrize("name", ["elasticsearch", "kibana", "proxy"])
def test_a_wrong_url_is_refused_without_being_shown(name: str, url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        client.nodes(load(**{name: url}))
    assert VALUE not in str(refused.value)
    assert name in str(refused.value)


@pytest.mark.parametrize("name", ["api_key", "kibana_api_key", "password", "username"])
def test_a_key_of_a_file_may_end_in_a_newline(name: str) -> None:
    assert getattr(load(**{name: f"{VALUE}\n"}), name) == VALUE


@pytest.mark.parametrize("name", ["api_key", "kibana_api_key", "password"])
@pytest.mark.parametrize("value", [f"{VALUE}\nx", f"{VALUE}\x00", f"\x1b{VALUE}"])
def test_a_key_that_no_header_can_have_is_refused_without_being_shown(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(**{name: value})
    assert VALUE not in str(refused.value)


def test_the_settings_do_not_show_credentials() -> None:
    url = f"https://ann:{VALUE}@search:9200"
    made = load(
        elasticsearch=url,
        kibana=url,
        proxy=url,
        redis=f"redis://:{VALUE}@redis",
        api_key=VALUE,
        password=VALUE,
        kibana_api_key=VALUE,
        kibana_password=VALUE,
        audit_key=VALUE * 2,
    )
    assert VALUE not in repr(made)
    assert VALUE not in client.addresses_for_people(made)


class _Redirecting(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - emptied by the fixture

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(302)
        self.send_header("location", "http://127.0.0.1:9/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def redirecting() -> Iterator[str]:
    _Redirecting.asked = []
    server = http.server.HTTPServer(("127.0.0.1", 0), _Redirecting)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("by_proxy", [True, False])
def test_a_redirect_is_not_followed(redirecting: str, by_proxy: bool) -> None:
    where = (
        {"elasticsearch": "http://search:9200", "proxy": redirecting} if by_proxy else {"elasticsearch": redirecting}
    )
    with client.connect(load(**where)) as cluster, pytest.raises(Refused, match="302"):
        cluster.get("/")
    assert len(_Redirecting.asked) == 1
