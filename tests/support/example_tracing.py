"""Tracing with an example's plugin, and what is the same whichever TLS library lighttpd has."""

from __future__ import annotations

import hashlib
import itertools
from contextlib import AbstractContextManager
from pathlib import Path

from tests.support.ends import exchanged, run
from tests.support.examples import Example
from tests.support.fixtures import RunTlstap
from tests.support.https_ends import Ends, only_ends
from tests.support.lighttpd import Lighttpd
from tests.support.tracer import Tracer, run_tlstap

POSTED = hashlib.shake_256(b"tlstap, posted").digest(400_000)


def tlstap_with(example: Example, folder: Path) -> RunTlstap:
    """Runs tlstap with the example's plugin; events go to files in `folder`."""
    numbers = itertools.count()

    def run_it(*arguments: str | int | Path) -> AbstractContextManager[Tracer]:
        output = folder / f"events-{next(numbers)}.json"
        return run_tlstap(output, *arguments, environment=example.environment)

    return run_it


def post_and_echo(
    tlstap: RunTlstap, server: Lighttpd, curl: list[str | Path], environment: dict[str, str], folder: Path
) -> Ends:
    """curl posts a body, and lighttpd sends it back: both ends show that, to the byte. The ends.

    :param curl: the command, without body and URL.
    """
    (folder / "body").write_bytes(POSTED)
    body = ["-H", "Expect:", "--data-binary", f"@{folder / 'body'}"]
    with tlstap("-c", "lighttpd", "-c", "curl") as tracer:
        output = run([*curl, *body, server.url("/echo.cgi")], environment)
    ends = only_ends(tracer, server.port)

    assert output == POSTED
    for end in (ends.client, ends.server):
        [exchange] = exchanged(tracer, end)
        assert (exchange.method, exchange.target, exchange.status) == ("POST", "/echo.cgi", 200)
        assert (exchange.sent, exchange.received) == (POSTED, POSTED)
    return ends
