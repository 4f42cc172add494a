"""`python -m tests.fuzz.run [--seconds N] [TARGET ...]`: looks for inputs that break a decoder.

It is guided by coverage. Each target runs for that long (60 seconds), one after the other, from the corpus in
this folder and from what earlier runs left in build/fuzz. An input that breaks something is put there and its
path is printed; `python -m tests.fuzz.run TARGET FILE` runs it again. `--keep` makes the corpus anew: the few
inputs that together take every step that any took.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

from tests.fuzz.corpus import corpus_folder, keep, replay

WORK = Path("build/fuzz")
SECONDS_PER_MIB = 4.0
"""What an input may take under the fuzzer, which slows decoders down several times."""
_LIMITS = ("-rss_limit_mb=2048", "-timeout=60", "-max_len=8192", "-print_final_stats=1")


def main() -> None:
    """Run the targets; exit with 1 if something was found."""
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET|FILE", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--keep", action="store_true", help="make the corpus anew")
    options = parser.parse_args()
    files = [Path(name) for name in options.targets if name not in TARGETS]
    names = [name for name in options.targets if name in TARGETS] or list(TARGETS)
    if files:
        if len(names) != 1 or not all(file.is_file() for file in files):
            parser.error(f"targets are {', '.join(TARGETS)}; a file needs exactly one")
        replay(names[0], files)
        return
    if importlib.util.find_spec("atheris") is None:
        parser.exit(2, "the fuzzer is not installed: run `make fuzz`\n")
    failed = [name for name in names if not _fuzz(name, options.seconds)]
    if options.keep:
        for name in names:
            print(f"{name}: {keep(name, WORK / name)} inputs in {corpus_folder(name)}")
    if failed:
        sys.exit(f"broken: {', '.join(failed)}; the inputs are in {WORK}")


def _fuzz(name: str, seconds: int) -> bool:
    """One target, in a process of its own; is all well?"""
    found = WORK / name
    found.mkdir(parents=True, exist_ok=True)
    print(f"{name}: {seconds} s", flush=True)
    command = [sys.executable, "-m", "tests.fuzz.target", name, f"-max_total_time={seconds}", *_LIMITS]
    folders = [str(found), str(corpus_folder(name))]
    prefix = f"-artifact_prefix={WORK}/{name}-"
    return subprocess.run([*command, prefix, *folders], check=False).returncode == 0


if __name__ == "__main__":
    main()
