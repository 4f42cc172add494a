"""Times are shown in UTC."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tlstap.sinks import heading


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        heading._second.cache_clear()
        yield
    time.tzset()
    heading._second.cache_clear()
