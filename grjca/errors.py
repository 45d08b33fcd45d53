"""The one way this package says that something went wrong.

An error names the file and the stage it arose in, gives the cause in the words of the tool that
failed, and says what to do about it; printed, it is a single line.
"""


class GrjcaError(Exception):
    """Something failed for one input; the message is one line a user can act on.

    Attributes:
        stage: The part of the work that failed, for example ``video`` or ``labels``.
        source: The file, clip or setting concerned.
        cause: What happened, in the failing tool's own words where it has any.
        remedy: What the user can do about it; may be empty.
    """

    def __init__(self, stage: str, source: object, cause: str, remedy: str = "") -> None:
        self.stage = stage
        self.source = one_line(str(source))
        self.cause = one_line(cause).rstrip(". ")
        self.remedy = one_line(remedy)
        super().__init__(stage, source, cause, remedy)

    def __str__(self) -> str:
        line = f"{self.source}: {self.stage}: {self.cause}."
        return f"{line} {self.remedy}" if self.remedy else line


class UsageError(GrjcaError):
    """The request itself cannot be carried out: a wrong option, a missing package or weight."""


def one_line(text: str) -> str:
    """Fold any text (a decoder's stderr, a name with newlines) into one printable line."""
    folded = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in folded)
