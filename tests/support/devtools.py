"""Chromium's developer tools without a window: their reader of HAR documents, and what it makes of one."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support import chromium
from tests.support.groups import group
from tests.support.wait import wait_until

# The front end of the tools is served to whoever debugs, so a page of that address can load its modules. What
# is called here is what the Network panel calls when a HAR file is dropped on it.
_PAGE = "/json/version"
_WHERE = "`${document.readyState} ${location.pathname}`"
_READ = """
(async text => {
  const har = await import('/devtools/models/har/har.js');
  const log = new har.HARFormat.HARRoot(JSON.parse(text)).log;
  const requests = har.Importer.Importer.requestsFromHARLog(log);
  const pairs = list => list.map(it => [it.name, it.value]);
  const cookies = list => list.map(it => [it.name(), it.value()]);
  return JSON.stringify(await Promise.all(requests.map(async it => {
    const content = await it.requestContentData();
    return {
      url: it.url(), method: it.requestMethod, status: it.statusCode, reason: it.statusText,
      protocol: it.protocol, type: it.resourceType().name(), mimeType: it.mimeType,
      remote: it.remoteAddress(), connection: it.connectionId,
      requestHeaders: pairs(it.requestHeaders()), responseHeaders: pairs(it.responseHeaders),
      query: pairs(it.queryParameters || []), form: await it.requestFormData(),
      requestCookies: cookies(it.includedRequestCookies().map(each => each.cookie)),
      responseCookies: cookies(it.responseCookies),
      text: content.isTextContent ? content.text : null,
      base64: content.isTextContent ? null : content.base64,
      size: it.resourceSize, transferred: it.transferSize, seconds: it.duration, finished: it.finished,
      started: it.issueTime(),
      frames: it.frames().map(each => [each.type, each.opCode, each.text, each.time]),
      events: it.eventSourceMessages().map(each => [each.eventName, each.eventId, each.data, each.time]),
    };
  })));
})
"""


class Page:
    """A page that the developer tools' modules can be loaded into."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._calls = 0
        wait_until(
            lambda: self._evaluate("document.readyState + location.pathname") == "complete/json/version",
            "a page",
        )

    def read(self, har: str) -> list[dict[str, Any]]:
        """What the reader makes of a document: requests by the time at which they began.

        :raises AssertionError: it refuses the document.
        """
        requests: list[dict[str, Any]] = json.loads(self._evaluate(f"({_READ})({json.dumps(har)})"))
        return requests

    def _evaluate(self, expression: str) -> str:
        answer = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return str(answer["result"]["value"])

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(60))
            if message.get("id") == self._calls:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result


@contextlib.contextmanager
def page(folder: Path) -> Iterator[Page]:
    """Chromium with such a page.

    :param folder: an empty folder for the profile and whatever else Chromium writes.
    """
    log, ready = folder / "log", folder / "profile" / "DevToolsActivePort"
    command = chromium.command_to_debug(folder)
    with group(command, chromium.environment(folder), folder / "out", log) as process:

        def port() -> int | None:
            assert process.poll() is None, f"Chromium ended: {log.read_text()}"
            lines = ready.read_text().splitlines() if ready.exists() else []
            return int(lines[0]) if len(lines) == 2 else None

        number = wait_until(port, "Chromium's developer tools", 60)
        with connect(_open(number), max_size=None, proxy=None) as socket:
            yield Page(socket)


def _open(port: int) -> str:
    """Open a page of the front end's origin, where it is; what to talk to it through."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("PUT", f"/json/new?http://127.0.0.1:{port}{_PAGE}")
        answer = connection.getresponse().read()
    address: str = json.loads(answer)["webSocketDebuggerUrl"]
    return address
