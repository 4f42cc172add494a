"""Draws docs/screenshot.svg from a saved capture, rendered as a terminal would show it.

    python docs/screenshot.py capture.json [docs/screenshot.svg]

The capture is one of `tlstap -f json -o capture.json`.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tlstap.capture import CaptureReader
from tlstap.pipeline import Pipeline
from tlstap.registry import Registry
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.emit import Emitter

WIDTH = 88
OUTPUT = Path(__file__).with_name("screenshot.svg")


def render(capture: Path) -> str:
    """The capture as the text format writes it to a terminal, with colours."""
    registry = Registry.load()
    stream = io.StringIO()
    options = OutputOptions(color=True, width=WIDTH)
    emitter = Emitter(registry.sinks["text"].create(stream, options), stream)
    pipeline = Pipeline(registry.protocols)
    with capture.open("rb") as lines:
        reader = CaptureReader(lines, str(capture))
        for record in reader:
            emitter.write(pipeline.feed(record))
    emitter.write(pipeline.finish(reader.last_time_ns))
    emitter.close()
    return stream.getvalue()


def main() -> None:
    """Draw it."""
    if len(sys.argv) not in (2, 3):
        sys.exit(f"usage: {sys.argv[0]} CAPTURE [SVG]")
    capture = Path(sys.argv[1])
    output = Path(sys.argv[2]) if len(sys.argv) == 3 else OUTPUT
    console = Console(record=True, file=io.StringIO(), width=WIDTH, force_terminal=True)
    console.print(Text.from_ansi(render(capture).rstrip("\n")))
    # A fixed id keeps the file the same when the picture is.
    svg = console.export_svg(title="tlstap", unique_id="tlstap")
    # The viewer's own monospaced font will do; none is fetched from elsewhere.
    output.write_text(re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL))


if __name__ == "__main__":
    main()
