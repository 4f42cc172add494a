"""Public test cases of HTTP/2 decoders: header blocks by several encoders, and frames.

They are http2jp's hpack-test-case and http2-frame-test-case, out of the source of Debian's haskell-http2.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cache import cached
from tests.support.debian import private_apt, run

SUITES = ("hpack-test-case", "http2-frame-test-case")
DEBIAN = "bookworm"
ENCODERS = (
    "go-hpack",
    "haskell-http2-linear",
    "haskell-http2-linear-huffman",
    "haskell-http2-naive",
    "haskell-http2-naive-huffman",
    "haskell-http2-static",
    "haskell-http2-static-huffman",
    "nghttp2",
    "nghttp2-16384-4096",
    "nghttp2-change-table-size",
    "node-http2-hpack",
)
"""Folders with the same stories, each encoded in another way."""


@dataclass(frozen=True)
class Block:
    """A header block. `table_size` is what the decoder allowed before it, None if that did not change."""

    wire: bytes
    headers: tuple[tuple[str, str], ...]
    table_size: int | None


@dataclass(frozen=True)
class Story:
    """Header blocks of one direction of a connection, in order."""

    name: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class FrameCase:
    """A frame. `fields` are those of its payload; of a frame that is an error there are none."""

    name: str
    wire: bytes
    type: int | None
    flags: int
    stream_id: int
    fields: dict[str, Any]
    is_error: bool


def available() -> Path:
    """The folder with both suites, from the cache or the network.

    :raises RuntimeError: they can't be fetched; the message says why.
    """
    return cached("http2-cases", _fetch)


def _fetch(folder: Path) -> Path:
    options = private_apt(folder, [DEBIAN])
    sources = folder / "sources.list"
    sources.write_text(sources.read_text().replace("deb ", "deb-src ", 1))
    run(["apt-get", *options, "-qq", "update"])
    source = ["source", "--download-only", "--tar-only"]
    run(["env", "-C", str(folder), "apt-get", *options, "-qq", *source, "haskell-http2"])
    [archive] = folder.glob("*.orig.tar.gz")
    cases = folder / "cases"
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = Path(member.name).parts[-3:]  # suite, encoder or kind, file
            content = tar.extractfile(member)
            if content is not None and parts[0] in SUITES and parts[-1].endswith(".json"):
                file = cases.joinpath(*parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.read())
    return cases


def stories(encoder: str) -> list[Story]:
    """All that an encoder made."""
    files = sorted((available() / "hpack-test-case" / encoder).glob("story_*.json"))
    return [_story(f"{encoder}/{file.stem}", json.loads(file.read_text())) for file in files]


def _story(name: str, content: dict[str, Any]) -> Story:
    cases = sorted(content["cases"], key=lambda case: int(case["seqno"]))
    blocks = []
    for case in cases:
        headers = [item for header in case["headers"] for item in header.items()]
        blocks.append(Block(bytes.fromhex(case["wire"]), tuple(headers), case.get("header_table_size")))
    return Story(name, tuple(blocks))


def frames() -> list[FrameCase]:
    """All frames, right and wrong ones."""
    folder = available() / "http2-frame-test-case"
    return [_frame(f"{file.parent.name}/{file.stem}", file) for file in sorted(folder.glob("*/*.json"))]


def _frame(name: str, file: Path) -> FrameCase:
    content = json.loads(file.read_text())
    frame = content["frame"] or {}
    return FrameCase(
        name,
        bytes.fromhex(content["wire"]),
        frame.get("type"),
        frame.get("flags", 0),
        frame.get("stream_identifier", 0),
        frame.get("frame_payload", {}),
        content["error"] is not None,
    )
