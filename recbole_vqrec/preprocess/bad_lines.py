"""Lines of raw files that cannot be used: counted, the first ones shown, too many of them stop the run."""

from recbole_vqrec.errors import VQRecError

MOST_BAD = 0.001  # share of bad lines above which a file is not what it should be
SHOWN = 3
EXCERPT = 60


class BadLines:
    """The bad lines of one file.

    Args:
        path (str or Path): the file.
        remedy (str): what to do if there are too many.

    Attributes:
        count (int): bad lines so far.
        lines (int): lines so far, kept by the reader.
    """

    def __init__(self, path, remedy="correct or remove these lines"):
        self.path, self.remedy = path, remedy
        self.count = self.lines = 0
        self.first = []

    def add(self, line, reason, content=""):
        """Note a bad line: its number, what is wrong with it, and its text."""
        self.count += 1
        if len(self.first) < SHOWN:
            shown = content if len(content) <= EXCERPT else content[:EXCERPT] + "..."
            self.first.append(f"line {line}: {reason}" + (f" in {shown!r}" if content else ""))

    def report(self, say):
        """Say how many lines were left out and which are the first, or stop.

        Args:
            say (callable): receives the one line.

        Raises:
            VQRecError: more than 0.1 % of the lines are bad, or there is no line at all.
        """
        if not self.lines:
            raise VQRecError(f"{self.path}: has no lines; get the file again")
        if not self.count:
            return
        more = f"; and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
        message = f"{self.path}: {self.count:,} of {self.lines:,} lines are bad: {'; '.join(self.first)}{more}"
        if self.count > MOST_BAD * self.lines:
            raise VQRecError(f"{message}; more than {MOST_BAD:.1%}; {self.remedy}")
        say(f"{message}; left out")
