"""What is missing is said and never a traceback: packages hidden, tools gone, stores broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from stores import write_clip

from grjca.doctor import packages
from grjca.doctor.child import main as child
from grjca.doctor.diagnosis import diagnose
from grjca.doctor.findings import Diagnosis, Finding
from grjca.doctor.machine import disk, machine, size
from grjca.doctor.packages import packages as look_at_packages
from grjca.doctor.store_health import health
from grjca.doctor.tools import tools

HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None

sys.meta_path.insert(0, Hidden())
"""


def hiding(folder: Path, *names: str) -> dict[str, str]:
    """An environment in which these modules are not there, for children too."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(HIDE.format(names=set(names)))
    return {**os.environ, "PYTHONPATH": str(folder)}


def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "grjca", "doctor", *map(str, words)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def by_name(findings: tuple[Finding, ...] | list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_only_what_is_needed_decides() -> None:
    fine, lacking = Finding("a", "x", "ok", needed=True), Finding("a", "y", "missing")
    assert Diagnosis((fine, lacking)).ready
    for state in ("missing", "problem"):
        assert not Diagnosis((fine, Finding("a", "z", state, needed=True))).ready  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="state"):
        Finding("a", "b", "good")  # type: ignore[arg-type]
    told = json.loads(Diagnosis((fine, Finding("a", "y", "problem", "two\nlines"))).as_json())
    assert (told["schema"], told["version"], told["ready"]) == ("grjca.doctor", 1, True)
    assert told["findings"][1] == {
        "section": "a", "name": "y", "state": "problem", "detail": "two lines", "remedy": "",
        "needed": False,
    }  # fmt: skip


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
    st.sampled_from([">=", "<"]),
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
)
def test_versions_compare_as_packaging_compares_them(
    have: list[int], sign: str, limit: list[int]
) -> None:
    version, wanted = (".".join(map(str, numbers)) for numbers in (have, limit))
    assert packages._fits(version, sign + wanted) == SpecifierSet(sign + wanted).contains(version)


def test_local_and_odd_versions() -> None:
    assert packages._fits("2.14.1+cu130", ">=2.4")
    assert packages._fits("0.1.0", "==0.1.0")
    assert not packages._fits("0.1.1", "==0.1.0")
    assert packages._fits("3.0rc1", ">=2,<3.1")
    assert not packages._fits("2.6.0", "<2.6")


def test_packages_name_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["numpy>=1.26", "no-such-thing>=2", "neither-this==1; extra == 'models'",
             "h5py>=900", "pytest>=8; extra == \"dev\""]  # fmt: skip
    monkeypatch.setattr(packages.metadata, "requires", lambda _: asked)
    found = by_name(list(look_at_packages()))
    assert found["numpy"].state == "ok"
    assert found["no-such-thing"].hinders
    assert found["no-such-thing"].remedy == "pip install 'no-such-thing>=2'"
    assert found["neither-this [models]"].state == "missing"
    assert not found["neither-this [models]"].needed
    assert found["neither-this [models]"].remedy == "pip install 'grjca[models]'"
    assert found["h5py"].state == "problem"
    assert "pytest" not in str(found)


def test_an_ffmpeg_that_lacks_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        """#!/bin/sh
case "$*" in
*-version*) echo "ffmpeg version 6.0-few"; echo "libavcodec     60.  3.100 / 60.  3.100";;
*-decoders*) echo " V....D h264    H.264 (vp9 is not here)"; echo " V....D av1    hardware";;
*-encoders*) echo " V....D mpeg4     MPEG-4";;
*-protocols*) printf "Input:\\n  file\\n  tcp\\nOutput:\\n  file\\n";;
esac
"""
    )
    fake.chmod(0o755)
    monkeypatch.setenv("GRJCA_FFMPEG", str(fake))
    found = by_name(list(tools()))
    assert found["ffmpeg"].detail == f"6.0-few, {fake}"
    assert found["decoder h264"].state == "ok"
    assert {name for name, f in found.items() if f.state == "missing"} == {
        "decoder hevc", "decoder vp9", "decoder av1", "decoder aac", "decoder opus",
        "encoder libx264",
    }  # fmt: skip
    assert found["protocols"].hinders
    monkeypatch.setenv("GRJCA_FFMPEG", "/no/ffmpeg")
    (only,) = tools()
    assert only.hinders
    assert "GRJCA_FFMPEG" in only.detail


def test_the_real_ffmpeg_has_what_videos_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    import imageio_ffmpeg

    monkeypatch.setenv("GRJCA_FFMPEG", imageio_ffmpeg.get_ffmpeg_exe())
    assert {finding.state for finding in tools()} == {"ok"}


def test_the_disk_is_the_one_that_df_names(tmp_path: Path) -> None:
    found = by_name(list(disk(tmp_path, needed=True)))
    told = subprocess.run(
        ["df", "--output=fstype,target", tmp_path], capture_output=True, text=True, check=True
    )
    kind, where = told.stdout.splitlines()[1].split(maxsplit=1)
    assert f"at {where} ({kind})" in found["disk"].detail
    assert found["writing"].state == "ok"
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_a_problem() -> None:
    found = by_name(list(disk(Path("/proc"), needed=True)))
    assert found["writing"].hinders
    assert not by_name(list(disk(Path("/proc"), needed=False)))["writing"].hinders
    (only,) = disk(Path("/no/such/folder"), needed=True)
    assert only.hinders


def test_cores_and_memory_are_those_of_the_system() -> None:
    found = by_name(list(machine()))
    assert found["cores"].detail.split()[0] == str(len(os.sched_getaffinity(0)))
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found["memory"].detail.startswith(size(total))
    assert (size(5), size(1536), size(3 << 30)) == ("5 B", "1.5 KiB", "3.0 GiB")


def test_a_store_and_what_lies_about_in_it(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4")
    write_clip(tmp_path, "lab/b.mp4")
    found = by_name(list(health(tmp_path)))
    assert found["clips"].detail.startswith("2 in ")
    assert {finding.state for finding in found.values()} == {"ok"}
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "hollow").mkdir()
    found = by_name(list(health(tmp_path)))
    assert found["foreign files"].state == "problem"
    assert (found["empty folders"].state, found["empty folders"].detail) == ("problem", "1")


def test_a_damaged_store_is_a_finding(tmp_path: Path) -> None:
    write_clip(tmp_path, "b.mp4")
    (tmp_path / "a.mp4.h5").write_bytes(b"no HDF5")
    found = by_name(list(health(tmp_path)))
    assert found["content"].state == "problem"
    assert "grjca verify" in found["content"].remedy


@pytest.mark.parametrize("what", ["nothing", "file"])
def test_no_store_there(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What loads libraries is not asked here.
    monkeypatch.setattr("grjca.doctor.diagnosis._loaded", lambda *_: [])
    store = tmp_path / "store"
    if what == "file":
        store.write_text("a file")
    found = diagnose(store)
    clips = next(f for f in found.findings if (f.section, f.name) == ("store", "clips"))
    assert clips.hinders == (what == "file")
    assert not (tmp_path / "store").is_dir()


def test_a_library_that_kills_its_process_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "onnxruntime"
    broken.mkdir()
    (broken / "__init__.py").write_text("import os\nos.abort()\n")
    hiding(tmp_path, "torch", "distributed", "dask", "opensmile", "skimage", "scipy", "triton")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = by_name(diagnose().findings)
    assert found["libraries"].hinders
    assert "signal 6" in found["libraries"].detail
    assert "ModuleNotFoundError" in found["import distributed"].detail


def test_nothing_but_the_least_is_installed(tmp_path: Path) -> None:
    hidden = ("torch", "onnxruntime", "cv2", "av", "h5py", "dask", "distributed",
              "imageio_ffmpeg", "skimage", "scipy", "opensmile", "safetensors", "numpy", "tqdm",
              "yaml", "ffmpeg", "PIL", "jinja2", "matplotlib")  # fmt: skip
    env = hiding(tmp_path / "hidden", *hidden)
    env["PATH"] = str(tmp_path)
    env.pop("GRJCA_FFMPEG", None)
    env["NO_COLOR"] = "1"
    (tmp_path / "store").mkdir()
    told = run("--store", tmp_path / "store", env=env)
    assert told.returncode == 1
    assert "Traceback" not in told.stdout + told.stderr
    assert "\x1b" not in told.stdout
    for line in ("missing  ffmpeg", "problem  torch", "problem  onnxruntime", "problem  retinaface",
                 "problem  fer", "problem  import av", "problem  store"):  # fmt: skip
        assert line in told.stdout, line
    assert "Not ready" in told.stdout
    last = told.stdout.split("Not ready")[1]
    assert "ffmpeg, ffmpeg: none on the PATH" in last


def test_a_missing_package_is_one_line_of_any_command(tmp_path: Path) -> None:
    env = hiding(tmp_path / "hidden", "numpy")
    words = ("extract", "a.mp4", "--store", "s")
    command = [sys.executable, "-m", "grjca", *words]
    told = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 2
    assert told.stderr == (
        "error: numpy: python: No module named 'numpy'. See what is missing, and how to install "
        "it, with: grjca doctor.\n"
    )


def test_a_broken_runtime_and_the_json(tmp_path: Path) -> None:
    broken = tmp_path / "onnxruntime"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise OSError('libonnx.so: cannot open\\nshared object')")
    env = hiding(tmp_path, "torch", "distributed", "opensmile", "skimage", "scipy", "triton")
    told = run("--json", env=env)
    assert told.returncode == 1
    answer = json.loads(told.stdout)
    assert answer["ready"] is False
    found = {finding["name"]: finding for finding in answer["findings"]}
    assert found["onnxruntime"]["state"] in ("ok", "problem")
    runtime = [f for f in answer["findings"] if f["section"] == "gpu and runtimes"]
    assert any("libonnx.so: cannot open shared object" in f["detail"] for f in runtime)
    assert found["retinaface"]["state"] == "problem"
    assert found["logmel"]["state"] == "problem"


@pytest.mark.slow
def test_here_the_default_extraction_runs(tmp_path: Path) -> None:
    told = run("--store", tmp_path)
    assert told.returncode == 0, told.stdout
    assert "Ready" in told.stdout
    assert re.search(r"^  ok +fer ", told.stdout, re.MULTILINE)
    # A network that no package carries: which option takes the file is said.
    (place,) = re.findall(r"^  missing +vggish .*\n +> (.*)", told.stdout, re.MULTILINE)
    assert "--audio-weights" in place
    assert not list(tmp_path.iterdir())


def test_a_child_prints_what_it_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    child("store", str(tmp_path))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["detail"] == f"0 in {tmp_path}"


def test_sbatch_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from grjca.doctor.tools import schedulers

    monkeypatch.setenv("PATH", str(tmp_path))
    assert [finding.state for finding in schedulers()] == ["missing"]
    shutil.copy("/bin/true", tmp_path / "sbatch")
    assert [finding.state for finding in schedulers()] == ["ok"]
