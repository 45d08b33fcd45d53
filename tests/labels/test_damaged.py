"""Whatever an annotation file holds, it is read or refused with one line that names it."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grjca.errors import GrjcaError
from grjca.labels.readers import read_labels

WHOLE = {
    "a.txt": b"valence,arousal\n.1,-5\n-.2,1\n",
    "a.json": b'{"frames": {"0": {"valence": 1, "arousal": -10}, "1": {"valence": null}}}',
    "a.csv": b"clip,frame,valence,rater,subject\na,0,.1,p,x\na,0,.2,q,x\nb,1,nan,q,\n",
    "b.csv": b"clip,time,arousal\na,0.5,.1\na,1e-3,.2\n",
    "valence.csv": b"a.wav,.5\nb.wav,-1\n",
    "c.csv": b"valence\n.1\n.2\n",
    "a.csv.gz": gzip.compress(b"clip,valence\na,.1\n", mtime=0),
}


@pytest.mark.parametrize("name", sorted(WHOLE))
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_only_errors_of_one_line(tmp_path: Path, name: str, data: st.DataObject) -> None:
    text = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        kind = data.draw(st.sampled_from(["change", "cut", "insert", "double"]))
        if kind == "change":
            text[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del text[at : at + data.draw(st.integers(1, 4))]
        elif kind == "insert":
            text[at:at] = data.draw(st.sampled_from([b"\x00", b"\n", b'"', b",", b"nan", b"1e999"]))
        else:
            text += text[at:]
        text = text or bytearray(b" ")
    (tmp_path / name).write_bytes(text)
    refused = None
    try:
        read = read_labels(tmp_path)
    except GrjcaError as error:
        refused = str(error)
    if refused is None:
        assert read.clips
        assert "" not in read.clips
    else:
        assert tmp_path.name in refused
        assert "\n" not in refused
