"""What holds for these tests: no result depends on how fast the machine is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.support.site import Site, plugin_site

# On a new checkout hypothesis makes its tables of characters first, which takes a second or two.
settings.register_profile("tlstap", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tlstap")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Where third-party plugins are installed."""
    with plugin_site(tmp_path / "site", monkeypatch) as made:
        yield made
