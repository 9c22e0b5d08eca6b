"""Progress bars: what they show, and when."""

import io

import pytest

from training.progress import bar, on


def test_nothing_is_shown_before_it_is_known_how_much_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    with bar("looking at files", "file") as lines:
        assert shown.getvalue() == ""
        tell = on(lines)
        tell(1, 4)
        assert "looking at files" in shown.getvalue() and "1/4" in shown.getvalue()
        tell(4, 4)
    assert ": 0file" not in shown.getvalue()


def test_a_bar_of_a_known_number_is_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    with bar("drawing", "picture", 3):
        assert "0/3" in shown.getvalue()


def test_other_processes_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    with bar("looking at files", "file", quiet=True) as lines:
        on(lines)(1, 4)
    assert shown.getvalue() == ""
