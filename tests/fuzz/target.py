"""`python -m tests.fuzz.target NAME [libFuzzer's options] [folders]`: fuzzes one target. See run.py."""

from __future__ import annotations

import os
import sys
import tempfile

import atheris

# Formats are not what is fuzzed; imported before, they run at full speed.
import tlstap.sinks.builtin  # noqa: F401

with atheris.instrument_imports(include=["tlstap", "h11", "hpack", "hyperframe", "wsproto"]):
    from tests.fuzz.harness import check
    from tests.fuzz.targets import TARGETS

from tests.fuzz.run import SECONDS_PER_MIB


def main() -> None:
    """Fuzz until the time is over, or something is found."""
    name, options = sys.argv[1], sys.argv[2:]
    target = TARGETS[name]

    def one(data: bytes) -> None:
        check(target, data, seconds=SECONDS_PER_MIB, often=4)

    with tempfile.NamedTemporaryFile("w", suffix=".dict") as dictionary:
        for word in target.dictionary:
            dictionary.write('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n')
        dictionary.flush()
        given = [f"-dict={dictionary.name}"] if target.dictionary else []
        atheris.Setup([sys.argv[0], *given, *options], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
    os._exit(0)
