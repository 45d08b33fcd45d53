from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grjca.errors import UsageError
from grjca.pipeline.parts import Part, part_reports, report_path

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.lists(names, unique=True), st.integers(1, 50))
def test_every_clip_is_in_exactly_one_part(clips: list[str], of: int) -> None:
    parts = [Part(number, of) for number in range(1, of + 1)]
    assert all(sum(part.keeps(clip) for part in parts) == 1 for clip in clips)


def test_the_share_is_the_documented_hash_of_the_name() -> None:
    for clip in ("a.mp4", "lab/ümläut.avi", "not utf-8 \udcff.mkv"):
        raw = hashlib.blake2b(clip.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        assert Part(int.from_bytes(raw, "big") % 7 + 1, 7).keeps(clip)


def test_another_process_divides_in_the_same_way() -> None:
    clips = [f"{number}.mp4" for number in range(50)]
    code = (
        "import sys; from grjca.pipeline.parts import Part;"
        "print(*(int(Part(2, 3).keeps(clip)) for clip in sys.argv[1:]))"
    )
    out = subprocess.run([sys.executable, "-c", code, *clips], capture_output=True, check=True)
    assert out.stdout.split() == [b"1" if Part(2, 3).keeps(clip) else b"0" for clip in clips]


def test_shares_are_about_equally_long() -> None:
    clips = [f"session{n // 100}/clip{n:05d}.mp4" for n in range(20_000)]
    sizes = Counter(
        number for clip in clips for number in range(1, 21) if Part(number, 20).keeps(clip)
    )
    # Binomial: 1000 expected, deviation 31.
    assert all(abs(size - 1000) < 5 * 31 for size in sizes.values())


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "3/", "/3", "-1/3", "1/0", "1.0/3", "a/b"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="part"):
        Part.parse(text)


@pytest.mark.parametrize("text", ["1/1", "3/100", "100/100"])
def test_a_part_is_written_as_it_is_read(text: str) -> None:
    assert str(Part.parse(text)) == text


def test_reports_are_found_again_by_their_names(tmp_path: Path) -> None:
    parts = [Part(2, 3), Part(10, 12), Part(1, 3)]
    for part in parts:
        report_path(tmp_path, part).parent.mkdir(parents=True, exist_ok=True)
        report_path(tmp_path, part).write_text("{}")
    folder = report_path(tmp_path, parts[0]).parent
    for other in ("part-4-of-3.json", "part-1-of-3.json.tmp", "ended-17", "part-x-of-3.json"):
        (folder / other).write_text("")
    assert [part for part, _ in part_reports(tmp_path)] == [Part(1, 3), Part(2, 3), Part(10, 12)]
    assert part_reports(tmp_path / "nothing") == []
