"""The conformance kit: whether a plugin shows exactly what a program moves by the plugin's TLS library.

from tlstap.conformance import check

report = check("wolfssl", program=["./driver"])
assert report.ok, "\\n".join(report.lines())
"""

from tlstap.conformance.check import check
from tlstap.conformance.report import Check, Report
from tlstap.conformance.scenarios import SCENARIOS

__all__ = ["SCENARIOS", "Check", "Report", "check"]
