"""The newest catalogue of a run folder, which several processes may change."""

import contextlib
import logging
from pathlib import Path

from filelock import FileLock

from recbole_vqrec import artifacts
from recbole_vqrec.errors import UnavailableError, VQRecError
from recbole_vqrec.inference import catalogue_files as files
from recbole_vqrec.inference.catalogue import Change

MOST_CHANGES = 1000  # files beside the catalogue, before one addition takes the time to write all items
FEW_CHANGES = 50  # more are made part of it by a process's first change, which loads a language model anyway
LOCK_POLL = 0.002  # seconds
LOGGER = logging.getLogger("recbole_vqrec")


class StoredCatalogue:
    """The catalogue that a run folder holds, and where in the sequence of its changes it stands.

    Not safe for several threads; `ServedRun` lets them take turns.

    Args:
        run (str or Path): run folder.

    Attributes:
        catalogue (Catalogue): as it was when last read or changed here.

    Raises:
        UnavailableError: a file is missing, damaged or of another version.
    """

    def __init__(self, run):
        self.run, self.catalogue = Path(run), None
        self._version, self._merged, self._number = None, 0, 0  # of the file; the last change in it, and applied here
        self._changed = False
        self.refresh()

    def is_newest(self):
        """Tell whether the folder holds nothing that is not read yet; a folder that has gone holds nothing."""
        if files.catalogue_version(self.run) not in (None, self._version):
            return False
        return not artifacts.change_file(self.run, self._number + 1).exists()

    def refresh(self):
        """Read what other processes have written.

        Raises:
            UnavailableError: see `read_catalogue` and `read_changes`; a change that does not fit the catalogue.
        """
        while True:
            version = files.catalogue_version(self.run)
            try:
                found = self._read(whole=version != self._version or self.catalogue is None)
            except VQRecError:
                if files.catalogue_version(self.run) == version:
                    raise
                continue  # the changes have become part of a new file meanwhile
            if files.catalogue_version(self.run) == version:
                break
        self._version, (self.catalogue, self._merged, self._number) = version, found

    def _read(self, whole):
        catalogue, merged, number = self.catalogue, self._merged, self._number
        if whole:
            catalogue, merged = files.read_catalogue(self.run)
            number = merged
        changes = files.read_changes(self.run, number)
        try:
            for change in Change.joined(changes):
                catalogue = change.of(catalogue)
        except (VQRecError, ValueError, TypeError, KeyError) as error:  # arrays missing or of other shapes
            first = artifacts.change_file(self.run, number + 1)
            raise UnavailableError(
                f"{first} and those after it do not fit {artifacts.catalogue_file(self.run).name} ({error}); "
                f"{files.CHANGE_REMEDY}"
            ) from error
        return catalogue, merged, number + len(changes)

    def change(self, change, accept):
        """Apply a change to the newest catalogue and write it; processes that do so take turns.

        Args:
            change (Change): what to add or remove.
            accept (callable): receives the changed catalogue before anything is written, and may raise.

        Raises:
            VQRecError: what the change or `accept` raises, or the folder cannot be written; it is then as before.
        """
        with self._turn():
            if not self.is_newest():
                self.refresh()
            catalogue = change.of(self.catalogue)
            accept(catalogue)
            files.write_change(self.run, self._number + 1, change)
            self.catalogue, self._number = catalogue, self._number + 1
            if self._number - self._merged > (MOST_CHANGES if self._changed else FEW_CHANGES):
                try:
                    self._write(catalogue)
                except VQRecError as error:  # the change itself is there
                    LOGGER.warning("%s", error)
            self._changed = True

    def replace(self, changed):
        """Write another catalogue in place of the folder's newest and all its changes.

        Args:
            changed (callable): the folder's newest catalogue -> the one to write.

        Raises:
            UnavailableError: the folder cannot be written.
        """
        with self._turn():
            if not self.is_newest():
                self.refresh()
            self._write(changed(self.catalogue))

    def _write(self, catalogue):
        self._merged = self._number = files.write_catalogue(self.run, catalogue)
        self._version, self.catalogue = files.catalogue_version(self.run), catalogue

    @contextlib.contextmanager
    def _turn(self):
        path = artifacts.catalogue_file(self.run)
        if not path.is_file():  # the lock would make the folder again
            raise UnavailableError(f"{path}: is not there any more, nothing was written; load a run that is there")
        try:
            with FileLock(path.with_name(f".{path.name}.lock")).acquire(poll_interval=LOCK_POLL):
                yield
        except OSError as error:
            remedy = "choose a run folder you may write to"
            raise UnavailableError(f"{self.run}: cannot be written ({error.strerror}); {remedy}") from error
