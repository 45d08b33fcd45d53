"""What all commands have in common: help with an example, completion, loudness, colours."""

from __future__ import annotations

import ast
import logging
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from blocks import words
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from media_makers import make_clip
from test_command_lines import check

import grjca
from grjca.cli import main


def commands(group: click.Group = main, path: str = "grjca") -> Iterator[tuple[str, click.Command]]:
    """Every command and group below a group, by what is typed to reach it."""
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


ALL = dict(commands()) | {"grjca": main}


@pytest.mark.parametrize("path", ALL)
def test_every_help_ends_with_an_example_that_is_taken(path: str) -> None:
    told = CliRunner().invoke(main, [*path.split()[1:], "--help"])
    assert told.exit_code == 0
    example = told.output.partition("\n  Example:\n")[2]
    typed = [line.strip() for line in example.splitlines()]
    assert typed
    assert all(line.startswith("grjca ") for line in typed)
    assert any(line.startswith(path) for line in typed)
    for line in typed:
        (command, *_) = words(line)
        check(command[1:], whole=True)
    # Neither wrapped by a terminal of 80 columns nor cut.
    assert all(f"  {line}\n" in told.output for line in str(ALL[path].epilog).splitlines()[2:])


@pytest.mark.parametrize("path", [p for p, c in ALL.items() if not isinstance(c, click.Group)])
def test_every_command_can_be_quiet_and_verbose(path: str) -> None:
    options = {name for parameter in ALL[path].params for name in parameter.opts}
    assert {"--quiet", "--verbose"} <= options


def test_the_version_is_the_package_s() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.strip().endswith(grjca.__version__)


def completed(*typed: str) -> list[tuple[str, str]]:
    """Type and value of what is offered for the last word."""
    *before, last = typed
    asked = ShellComplete(main, {}, "grjca", "_GRJCA_COMPLETE")
    return [(item.type, item.value) for item in asked.get_completions(before, last)]


def test_paths_names_and_options_are_completed() -> None:
    for typed in (
        ("predict", "ta"), ("extract", "ta"), ("extract", "--store", ""), ("status", "s", "ta"),
        ("predict", "--checkpoint", "ru"), ("overlay", "ta"), ("report", "pre"),
        ("train", "--labels", "l"), ("import", "m"),
    ):  # fmt: skip
        assert completed(*typed)[0][0] == "file", typed
    assert completed("status", "")[0][0] in ("dir", "file")
    assert completed("extract", "--visual", "ir50-") == [
        ("plain", "ir50-flip"),
        ("plain", "ir50-shift"),
    ]
    assert completed("extract", "--visual", "on") == [("plain", "onnx:")]
    assert completed("comp") == [("plain", "completion")]
    assert ("plain", "--no-faces") in completed("predict", "--no-")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one_that_the_shell_reads(shell: str) -> None:
    told = CliRunner().invoke(main, ["completion", shell])
    assert told.exit_code == 0
    assert f"_GRJCA_COMPLETE={shell}_complete" in told.output
    if program := shutil.which(shell):
        done = subprocess.run(
            [program, "-n", "/dev/stdin"], input=told.output, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stderr
    assert CliRunner().invoke(main, ["completion", "csh"]).exit_code == 2


def test_bash_completes_with_the_script() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    script = CliRunner().invoke(main, ["completion", "bash"]).output
    typed = """
COMP_WORDS=(grjca slurm-script --mem); COMP_CWORD=2
_grjca_completion grjca
echo "${COMPREPLY[*]}"
"""
    done = subprocess.run(
        [bash, "--norc"], input=f"{script}\n{typed}", text=True, capture_output=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout.strip() == "--memory", done.stderr


def test_verbose_tells_what_was_done_and_how_long_it_took(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    make_clip(tmp_path / "clips/a.mp4", frames=3, size=(64, 48))
    (tmp_path / "clips/bad.mp4").write_text("no video")
    typed = ["extract", str(tmp_path / "clips"), "--store", str(tmp_path / "s"), "--visual", "hog",
             "--audio", "logmel", "--workers", "1", "--quiet"]  # fmt: skip
    told = CliRunner().invoke(main, [*typed, "--verbose"])
    level = logging.getLogger().level
    (line,) = [line for line in told.stderr.splitlines() if ": a.mp4: done in " in line]
    assert "3 rows" in line
    assert "computed" in line
    assert "visual/hog" in line
    assert any(": bad.mp4: failed in " in line for line in told.stderr.splitlines())
    assert "done in" not in told.stdout
    # What is told ends with the command.
    assert logging.getLogger().level == level
    told = CliRunner().invoke(main, typed)
    assert not any("a.mp4" in line for line in told.output.splitlines())
    assert "0 extracted, 1 already there, 1 failed" in told.output


FOUND = """
import sys
from grjca.doctor import diagnosis
from grjca.doctor.findings import Diagnosis, Finding
states = ("ok", "missing", "problem")
diagnosis.diagnose = lambda _: Diagnosis(tuple(Finding("a", s, s, "x", "y") for s in states))
from grjca.cli import main
main(["doctor"])
"""


def on_a_terminal(env: dict[str, str]) -> str:
    """What the doctor says to a terminal."""
    own, other = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", FOUND], stdin=other, stdout=other, stderr=other,
        env={**os.environ, **env},
    ) as process:  # fmt: skip
        os.close(other)
        said = b""
        while True:
            try:
                piece = os.read(own, 4096)
            except OSError:
                # How Linux tells that the other side has gone.
                break
            if not piece:
                break
            said += piece
    os.close(own)
    assert process.returncode == 0, said
    return said.decode()


def test_a_terminal_gets_colours_unless_they_are_not_wanted() -> None:
    assert "\x1b[31mproblem" in on_a_terminal({"NO_COLOR": ""})
    plain = on_a_terminal({"NO_COLOR": "1"})
    assert "problem" in plain
    assert "\x1b" not in plain


def test_a_pipe_gets_none() -> None:
    env = {**os.environ, "NO_COLOR": ""}
    done = subprocess.run([sys.executable, "-c", FOUND], capture_output=True, text=True, env=env)
    assert "problem" in done.stdout
    assert "\x1b" not in done.stdout


def damaged(folder: Path) -> None:
    """Things that commands meet and cannot use, by the names they have in the folder."""
    (folder / "text.mp4").write_text("no video")
    (folder / "empty").mkdir()
    (folder / "labels.csv").write_text("clip,frame,valence,arousal\nz.mp4,0,0.1,0.1\n")
    (folder / "table.csv").write_text("time,valence\n0,x\n")
    (folder / "bad.yaml").write_text("a: [\n")
    (folder / "manifest.csv").write_text("nothing\n1\n")
    (folder / "list.txt").write_text("not a line of a list\n")
    (folder / "model.safetensors").write_text("hello")
    (folder / "file").write_text("a file")
    make_clip(folder / "a.mp4", frames=3, size=(64, 48), sound=None)


def test_every_error_in_the_program_says_what_to_do() -> None:
    """The calls as they stand in the sources: stage, source, cause and remedy."""
    lacking = [
        f"{path}:{call.lineno}"
        for path in Path(str(grjca.__file__)).parent.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("GrjcaError", "UsageError")
        and len(call.args) + len(call.keywords) < 4
    ]
    assert lacking == []


FAILURES = [
    ("extract nowhere.mp4 --store s --quiet", 1),
    ("extract text.mp4 --store s --quiet --workers 1 --visual hog --audio logmel", 1),
    ("extract a.mp4 --store file/s", 1),
    ("extract a.mp4 --store s --visual ir50", 2),
    ("extract a.mp4 --store s --sound a.mp4", 2),
    ("extract --manifest manifest.csv --store s", 2),
    ("extract --store s", 2),
    ("inspect file", 1),
    ("train --store empty --labels labels.csv --out run", 1),
    ("train --store nowhere --labels labels.csv --out run", 1),
    ("train --store empty --labels nowhere.csv --out run", 1),
    ("train --store empty --labels labels.csv --out run --preset huge", 2),
    ("train --store empty --labels labels.csv --out run --config bad.yaml", 2),
    ("train --store empty --labels labels.csv --out run --set model.nothing=1", 2),
    ("train --store empty --labels labels.csv --out run --init model.safetensors", 1),
    ("config show --config bad.yaml", 2),
    ("evaluate --checkpoint empty --store empty --labels labels.csv", 1),
    ("predict a.mp4 --checkpoint model.safetensors --out o", 1),
    ("predict a.mp4 --checkpoint empty --out o", 1),
    ("predict a.mp4 --checkpoint empty --out o --report --part 1/2", 2),
    ("predict a.mp4 --checkpoint empty --out o --scheduler tcp://localhost:1", 2),
    ("report empty", 2),
    ("report nowhere", 2),
    ("report table.csv", 1),
    ("report table.csv --out empty", 2),
    ("submit --checkpoint empty --store empty --list list.txt --out o.txt", 1),
    ("ablate --store nowhere --labels labels.csv --out o", 1),
    ("ablate --store empty --labels nowhere.csv --out o", 1),
    ("synth complementarity --out file --dial 0.2", 2),
    ("overlay a.mp4 --predictions nowhere --out o.mp4", 2),
    ("overlay a.mp4 --predictions table.csv --out o.mp4", 1),
    ("overlay a.mp4 --predictions table.csv --out o.gif", 2),
    ("overlay text.mp4 --predictions table.csv --out o.mp4", 1),
    ("slurm-script --tasks 2 -- verify s", 2),
    ("slurm-script --tasks 2 -- extract nowhere --store s", 2),
    ("import manifest.csv --store s", 2),
    ("export empty --out o", 2),
    ("export empty --out o --clips z.mp4", 2),
    ("pack empty --out empty", 2),
    ("forget empty", 2),
    ("forget empty --clip z.mp4", 1),
    ("gc empty --keep nothing", 2),
    ("extract a.mp4 --store s --visual none-such", 2),
    ("predict a.mp4", 2),
    ("doctorr", 2),
    ("doctor --shop", 2),
    ("verify nowhere", 2),
    ("status nowhere", 2),
    ("completion csh", 2),
]


def test_no_command_is_left_out_of_the_failures() -> None:
    assert set(main.commands) <= {line.split()[0] for line, _ in FAILURES}


@pytest.mark.parametrize(("line", "code"), FAILURES)
def test_a_failure_is_one_line_that_says_what_to_do(
    line: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    damaged(tmp_path)
    told = CliRunner().invoke(main, line.split(), prog_name="grjca")
    assert isinstance(told.exception, SystemExit), told.exception
    assert told.exit_code == code, told.output
    assert "Traceback" not in told.output
    errors = [text for text in told.stderr.splitlines() if text.lower().startswith("error: ")]
    assert len(errors) == 1, told.output
    if told.stderr.startswith("Usage: "):
        # click's own: the usage, where to find help, the error.
        assert re.search(r"Try 'grjca (\w+ )?--help' for help", told.stderr)
        return
    # The cause ends with a full stop; behind it stands what to do.
    cause, _, remedy = errors[0].partition(". ")
    assert cause
    assert remedy.strip(" ."), errors[0]
    assert remedy.endswith("."), errors[0]
