"""The exceptions of tlstap. Each message names the culprit, what was expected and the remedy.

The command line prints `str(error)` as one line and exits with `error.exit_status`.
"""


class TlstapError(Exception):
    """Base of everything tlstap raises on purpose. `exit_status` is 1 (can't) or 2 (wrong usage)."""

    exit_status = 1


class UsageError(TlstapError):
    """What the user asked for makes no sense: an unknown name, a contradiction."""

    exit_status = 2


class PluginError(TlstapError):
    """A plugin is wrong: it declares nonsense, clashes with another one or fails to load."""


class ElfError(TlstapError):
    """A file is not an ELF image that tlstap can read: malformed, truncated, of another machine."""


class NotLocatedError(TlstapError):
    """A locator did not find a function without doubt; the message says at which step it gave up."""


class ProcessGoneError(TlstapError):
    """A process vanished, or never existed."""


class PrivilegeError(TlstapError):
    """The user may not trace."""


class KernelError(TlstapError):
    """The kernel lacks something that tlstap needs, or refused something it asked for."""


class CompileError(TlstapError):
    """The BPF program does not compile or is rejected; the message carries the tool's own words.

    :param words: all that the compiler or the verifier said.
    :param rejected: the function that the verifier rejects; None if the program does not compile.
    """

    def __init__(self, message: str, words: str = "", rejected: str | None = None) -> None:
        super().__init__(message)
        self.words = words
        self.rejected = rejected


class CaptureError(TlstapError):
    """A saved capture can't be read: not JSON lines, not this schema."""
