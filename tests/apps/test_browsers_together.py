"""Chromium, Firefox, curl, wget and nginx at the same time, and tlstap without options."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support import chromium, firefox, nss, pages
from tests.support.curl import curl_command, request_bytes
from tests.support.ends import clients, plain_environment, run
from tests.support.fixtures import RunTlstap
from tests.support.mapped import mapped
from tests.support.nginx import Nginx, page_files, post_page_files
from tests.support.traffic import Traced, http_events
from tests.support.wget import wget_command, wget_request


def test_one_run(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    """Each exchange is shown with the process that it belongs to, and with that one's library."""
    homes = {name: tmp_path / name for name in ("chromium", "firefox", "others")}
    for home in homes.values():
        home.mkdir()
    environment = plain_environment(homes["others"])
    browser = firefox.installed()
    with mapped(chromium.EXECUTABLE), nss.in_use(browser.folder), tlstap() as tracer:
        tracer.wait_traced(chromium.EXECUTABLE)
        tracer.wait_traced(browser.libssl3)
        with ThreadPoolExecutor(4) as pool:
            visit = pool.submit(chromium.visit, nginx.url("/post.html?by=chromium"), homes["chromium"])
            url = nginx.url("/page.html?by=firefox")
            firefox_pid = pool.submit(browser.load, url, homes["firefox"], nginx.certificates.authority)
            by_curl = pool.submit(run, curl_command(nginx, nginx.url("/json?by=curl")), environment)
            by_wget = pool.submit(run, wget_command(nginx, nginx.url("/random.bin?by=wget")), environment)
    found: dict[str, list[Traced]] = {}
    for client in clients(tracer, nginx, roles=["client", None]):
        found.setdefault(client.process.exe or "", []).append(client)
    by_chromium, by_firefox = found[str(chromium.EXECUTABLE)], found[str(browser.executable)]
    [of_curl], [of_wget] = found["/usr/bin/curl"], found["/usr/bin/wget"]

    assert len(found) == 4
    assert who(by_chromium) == {
        ("Chrome_ChildIOT", visit.result().network_pid, "boringssl", str(chromium.EXECUTABLE))
    }
    assert who(by_firefox) == {("Socket Thread", firefox_pid.result(), "nss", str(browser.libssl3))}
    assert (of_curl.process.comm, of_curl.library.name) == ("curl", "openssl")
    assert (of_wget.process.comm, of_wget.library.name) == ("wget", "gnutls")
    assert (of_curl.written, of_curl.read) == (request_bytes(nginx, "/json?by=curl"), by_curl.result())
    assert of_wget.written == wget_request("/random.bin?by=wget", nginx.port)
    assert of_wget.read == by_wget.result()
    # One exchange of each browser has the page's address with its name in it, the others belong to that page.
    assert Counter(pages.http1(tracer.events, by_chromium)) == Counter(
        [(f"127.0.0.1:{nginx.port}", name) for name in [*post_page_files(), "upload"]]
        + [(f"localhost:{nginx.port}", "image.png")]
    )
    assert {name for _, name in pages.http1(tracer.events, by_firefox)} == set(page_files())
    asked = {
        event.request.target: event.process.exe
        for traced in (*by_chromium, *by_firefox)
        for event in http_events(tracer.events, traced)
        if event.request and event.request.target and "?" in event.request.target
    }
    assert asked == {
        "/post.html?by=chromium": str(chromium.EXECUTABLE),
        "/page.html?by=firefox": str(browser.executable),
    }


def who(connections: list[Traced]) -> set[tuple[str, int, str, str | None]]:
    """Thread, process and library of connections."""
    return {
        (traced.process.comm, traced.process.pid, traced.library.name, traced.library.path)
        for traced in connections
    }
