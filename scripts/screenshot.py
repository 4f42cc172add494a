"""`python -m scripts.screenshot FILE.svg`: the demo's real output as a picture, drawn by rich."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text
from scripts.demo import curl_command, https_server, make_certificate, tlstap_command

COLUMNS = 80


def main(target: Path) -> None:
    """Run the demo in colour and draw it."""
    with tempfile.TemporaryDirectory(prefix="tlstap-demo-") as name:
        certificate, key = make_certificate(Path(name))
        with https_server(certificate, key) as port:
            command = tlstap_command("--color", "always", "--", *curl_command(certificate, port))
            result = subprocess.run(command, capture_output=True, text=True, check=True)
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text("$ tlstap -- curl -d @order.json https://127.0.0.1/orders\n", style="bold"))
    console.print(Text.from_ansi(result.stdout))
    console.save_svg(str(target), title="tlstap")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
