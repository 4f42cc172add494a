"""A page with forty parts: style sheets, scripts, images and JSON, from one byte to 300 KB."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from functools import cache

FOLDER = "forty"
PAGE = "page.html"
PARTS = 40
LARGEST = 300_000

# Only images and the like delay a page's load event; a frame that is still written to does so, too.
_SCRIPT = """
const frame = document.body.appendChild(document.createElement("iframe"));
frame.contentDocument.open();
async function digest(name) {
    const body = await (await fetch(name)).arrayBuffer();
    const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
    return name + " " + Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("") + "\\n";
}
async function load() {
    const lines = await Promise.all(%s.map(digest));
    await fetch("/upload", {method: "POST", body: lines.join("")});
    document.title = "loaded";
    frame.contentDocument.close();
}
load();
"""


@cache
def forty_files() -> dict[str, bytes]:
    """The page and its parts by name. Always the same, each part another."""
    makers: dict[str, Callable[[int], bytes]]
    makers = {"css": _comment, "js": _comment, "png": image, "json": _string}
    parts, size = {}, 0
    for number in range(PARTS):
        kind = list(makers)[number % len(makers)]
        size = max(size + 1, round(LARGEST ** (number / (PARTS - 1))))
        parts[f"{number:02}.{kind}"] = makers[kind](size)
    return {PAGE: _page(list(parts)), **parts}


def report() -> bytes:
    """What the page posts to /upload at the end: names and digests of the JSON that it has fetched."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in forty_files().items()}
    return "".join(f"{name} {digests[name]}\n" for name in digests if name.endswith(".json")).encode()


def _page(parts: list[str]) -> bytes:
    tags = {
        "css": '<link rel="stylesheet" href="{}">',
        "js": '<script src="{}"></script>',
        "png": '<img src="{}" width="8" height="8">',
    }
    lines = [tags[kind].format(name) for name in parts if (kind := name.partition(".")[2]) in tags]
    fetched = [name for name in parts if name.endswith(".json")]
    start = ["<!doctype html>", "<title>loading</title>", '<link rel="icon" href="data:,">', "<body>"]
    return "\n".join([*start, *lines, f"<script>{_SCRIPT % fetched}</script>", ""]).encode()


def _hex(size: int) -> bytes:
    """Text that looks random but compresses, another one for each size."""
    return hashlib.shake_256(b"tlstap %d" % size).hexdigest((size + 1) // 2)[:size].encode()


def _comment(size: int) -> bytes:
    return b"/*" + _hex(size - 4) + b"*/" if size >= 4 else b"\n" * size


def _string(size: int) -> bytes:
    return b'"' + _hex(size - 2) + b'"' if size >= 2 else b"7" * size


def image(size: int) -> bytes:
    """A PNG of 8 x 8 grey pixels in so many bytes; if those are too few, no PNG."""
    rows = b"".join(b"\0" + bytes(range(8)) for _ in range(8))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
    chunks = [_chunk(*part) for part in parts]
    room = size - 8 - sum(map(len, chunks)) - 2 * 12
    if room < 0:
        return hashlib.shake_256(b"no image").digest(size)
    chunks.insert(1, _chunk(b"teSt", hashlib.shake_256(b"image").digest(room)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
