"""Damaged media files through the whole of the decoding: ``python -m fuzz --help``.

What must hold of every mutant is in :mod:`fuzz.check`. Mutants follow from the seed and their
number alone, so that one can be made again, on any number of workers.
"""
