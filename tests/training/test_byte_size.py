"""T11: bytes for people, in a unit that fits."""

import pytest

from training.console.output import size_text


@pytest.mark.parametrize(
    "count, text",
    [(0, "0 B"), (10, "10 B"), (999, "999 B"), (1000, "1 KB"), (45_600, "45.6 KB"), (999_400, "999 KB"),
     (999_900, "1 MB"), (18_400_000, "18.4 MB"), (2_500_000_000, "2.50 GB"), (1.2e13, "12000.00 GB")],
)  # fmt: skip
def test_bytes(count: float, text: str) -> None:
    assert size_text(count) == text
