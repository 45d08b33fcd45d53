"""Reading annotations from disk, in whichever of the known forms they are."""

from __future__ import annotations

from pathlib import Path

from grjca.errors import GrjcaError
from grjca.labels import afew_va, affwild2, dimension_files
from grjca.labels.lines import TABLE_SUFFIXES, files_below
from grjca.labels.records import Labels
from grjca.labels.tables import read_table, read_tables

FORMS = (
    "Known: Aff-Wild2's tree or a folder of its .txt files; a folder of AFEW-VA's .json files; "
    "a CSV table or a folder of them, packed as .csv.gz or not."
)


def read_labels(path: Path) -> Labels:
    """Read annotations; what they are is told by what is there.

    ==========================================  ==================================================
    a folder with ``VA_Estimation_Challenge``   :func:`grjca.labels.affwild2.read_tree`; the
    or ``VA_Set`` below it, or with             folders are the clips' partitions
    ``Train_Set`` and so on
    a folder of ``.txt`` files                  :func:`grjca.labels.affwild2.read_folder`
    a folder of ``.json`` files                 :func:`grjca.labels.afew_va.read_folder`
    ``valence.csv``, ``arousal.csv``            :func:`grjca.labels.dimension_files.read_files`
    without a header
    a folder of CSV tables                      :func:`grjca.labels.tables.read_tables`
    a CSV table                                 :func:`grjca.labels.tables.read_table`
    one ``.txt`` or ``.json`` file              as in a folder of its own
    ==========================================  ==================================================

    Args:
        path: The folder or the file.

    Raises:
        GrjcaError: Nothing there or of several forms at once, or what the form's reader refuses;
            the message names the file and the line.
    """
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_file(path)
    raise GrjcaError("labels", path, "no such file or folder", FORMS)


def _read_file(file: Path) -> Labels:
    if file.suffix.lower() in affwild2.SUFFIXES:
        return affwild2.read_texts([(file.stem, file, None)])
    if file.suffix.lower() in afew_va.SUFFIXES:
        return afew_va.read_files({file.stem: file})
    return read_table(file)


def _read_folder(folder: Path) -> Labels:
    tree = affwild2.find_tree(folder)
    if tree is not None:
        return affwild2.read_tree(tree)
    texts, jsons, tables = (
        files_below(folder, suffixes)
        for suffixes in (affwild2.SUFFIXES, afew_va.SUFFIXES, TABLE_SUFFIXES)
    )
    found = [files for files in (texts, jsons, tables) if files]
    if len(found) != 1:
        cause = (
            f"labels of several forms: {', '.join(files[0].name for files in found)}"
            if found else "the folder holds no labels"
        )  # fmt: skip
        raise GrjcaError("labels", folder, cause, FORMS)
    if texts:
        return affwild2.read_folder(folder)
    if jsons:
        return afew_va.read_folder(folder)
    if dimension_files.is_pair(tables):
        return dimension_files.read_files(tables)
    return read_tables(folder, tables)
