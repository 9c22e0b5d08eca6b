"""Progress bars: what they show, and when."""

import io
import re
from pathlib import Path

import pytest

from training.console.progress_bar import bar, on
from training.loop.metrics import Metrics


def test_nothing_is_shown_before_it_is_known_how_much_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    with bar("scanning files", "file") as lines:
        assert shown.getvalue() == ""
        tell = on(lines)
        tell(1, 4)
        assert "scanning files" in shown.getvalue() and "1/4" in shown.getvalue()
        tell(4, 4)
    assert ": 0file" not in shown.getvalue()


def test_a_bar_of_a_known_number_is_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    with bar("drawing", "picture", 3):
        assert "0/3" in shown.getvalue()


def test_each_line_of_a_log_has_the_rate_of_its_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T10: 10 steps of 3 s, then steps of 0.1 s that are logged every second: no line tells the time of long ago."""
    log, now = io.StringIO(), [1000.0]
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.setattr("training.loop.metrics.time.monotonic", lambda: now[0])
    with Metrics(tmp_path, 0, 1510, 4, main=True) as metrics:
        metrics._bar._time = lambda: now[0]
        metrics._bar.start_t = metrics._bar.last_print_t = now[0]
        for step in range(10, 1511, 10):
            now[0] += 30.0 if step == 10 else 1.0
            metrics.steps([{"step": step, "loss": 0.25, "grad_norm": 1.0, "lr": 1e-4}] * 10)
    lines = [line for line in log.getvalue().split("\r") if "images/s" in line]
    assert 4 <= len(lines) <= 8, lines  # one in 30 s, and the last
    for line in lines[1:-1]:
        found = re.search(r"[ ,]([\d.]+)(s/step|step/s), .* ([\d.]+) images/s", line)
        assert found is not None and float(found[3]) == pytest.approx(40.0), line
        rate = float(found[1]) if found[2] == "step/s" else 1.0 / float(found[1])
        assert rate >= 0.3 * 10.0, line  # tqdm's mean gives the last 30 s a weight of 0.3
    assert "1510/1510" in lines[-1]


def test_other_processes_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    with bar("scanning files", "file", quiet=True) as lines:
        on(lines)(1, 4)
    assert shown.getvalue() == ""
