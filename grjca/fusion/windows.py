"""How a clip is cut into windows."""

from __future__ import annotations


def windows(rows: int, window: int, hop: int) -> list[tuple[int, int]]:
    """Half-open row ranges of a clip's windows.

    Windows start every ``hop`` rows; the last is moved back to end with the clip, so that every
    row is covered and no window reaches beyond. A clip shorter than a window is one range, which
    the batch pads.

    Args:
        rows: Rows of the clip.
        window: Rows per window.
        hop: Rows between the starts of neighbouring windows, at most ``window``.

    Raises:
        ValueError: ``hop`` or ``window`` is less than 1, or ``hop`` would leave rows uncovered.
    """
    if not 1 <= hop <= window:
        raise ValueError(f"hop must lie between 1 and the window's {window} rows, got {hop}")
    if rows <= window:
        return [(0, rows)] if rows else []
    starts = list(range(0, rows - window + 1, hop))
    if starts[-1] != rows - window:
        starts.append(rows - window)
    return [(start, start + window) for start in starts]
