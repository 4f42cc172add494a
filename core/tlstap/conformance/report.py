"""What the checks found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["ok", "failed", "left out"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what it is about (`name`), how it ended (`outcome`), and a line of explanation (`text`)."""

    name: str
    outcome: Outcome
    text: str

    def line(self) -> str:
        """The check as a line of text."""
        word = {"ok": "ok", "failed": "FAILED", "left out": "left out"}[self.outcome]
        return f"{word:<9}{self.name}: {self.text}"


def passed(name: str, text: str) -> Check:
    return Check(name, "ok", text)


def failed(name: str, text: str) -> Check:
    return Check(name, "failed", text)


def left_out(name: str, text: str) -> Check:
    return Check(name, "left out", text)


@dataclass(slots=True)
class Report:
    """All `checks` of one `library`."""

    library: str
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no check failed, and there was one."""
        return bool(self.checks) and not self.failures

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.outcome == "failed"]

    def lines(self) -> list[str]:
        """One line for each check."""
        return [check.line() for check in self.checks]

    def document(self) -> dict[str, Any]:
        """The report for JSON."""
        return {"library": self.library, "ok": self.ok, "checks": [asdict(check) for check in self.checks]}
