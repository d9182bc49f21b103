"""A run folder held in memory: its model and items, and changes of items that other threads and processes see whole."""

import shutil
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from recbole_vqrec import artifacts
from recbole_vqrec.errors import UnavailableError, VQRecError
from recbole_vqrec.inference.catalogue import Catalogue, Change
from recbole_vqrec.inference.catalogue_files import write_catalogue
from recbole_vqrec.inference.engine import create_engine
from recbole_vqrec.inference.new_items import ItemEncoder, as_items
from recbole_vqrec.inference.rebuild import load_run
from recbole_vqrec.inference.stored_catalogue import StoredCatalogue
from recbole_vqrec.trainer.checkpoint import checkpoint_file


class Served(NamedTuple):
    """What belongs together: swapped at once, so that a reader in another thread never sees half of a change."""

    catalogue: Catalogue
    engine: object
    row: dict  # item id -> row
    allowed: torch.Tensor  # rows that are recommended; None where all are


class ServedRun:
    """A trained model with its items; the base of `Recommender`.

    Args:
        run (str or Path): the folder.
        config (Config): of the run.
        state (dict): the model's state, name -> tensor.
        stored (StoredCatalogue): the items.
        version (tuple, optional): what `artifacts.file_version` says of the checkpoint that `state` is of.
    """

    def __init__(self, run, config, state, stored, version=None):
        self.run, self.config, self._stored, self._version = Path(run), config, stored, version
        catalogue = stored.catalogue
        self._encoder = ItemEncoder(catalogue.made, catalogue.quantizer)
        self._changing, self._unsaved = threading.RLock(), []
        self._serve(catalogue, create_engine(config, catalogue, state))
        self._served_of = catalogue  # what was stored when it was last taken over

    @classmethod
    def load(cls, run):
        """Return the recommender of a run folder such as saved/<run>; the training data are not needed.

        Raises:
            VQRecError: a file is missing, damaged or of another version, or the model needs its training data.
        """
        folder = checkpoint_file(run).parent.resolve()  # a link to it that is moved later on leads to another run
        file = folder / checkpoint_file(run).name
        version = None
        while version is None or version != artifacts.file_version(file):  # another process may save a run there
            version = artifacts.file_version(file)
            config, state, item_ids = load_run(folder if checkpoint_file(folder) == file else file)
            stored = StoredCatalogue(folder)
        if stored.catalogue.item_ids[: len(item_ids)] != item_ids:
            raise UnavailableError(
                f"{folder}: {artifacts.catalogue_file(folder).name} has other items than {file.name}, as where saving "
                "was interrupted; save the run again, or train again"
            )
        return cls(folder, config, state, stored, version)

    def _serve(self, catalogue, engine):
        allowed = torch.from_numpy(np.flatnonzero(~catalogue.removed)) if catalogue.removed.any() else None
        row = {item_id: index for index, item_id in enumerate(catalogue.item_ids)}
        self.served = Served(catalogue, engine, row, allowed)

    @property
    def catalogue(self):
        """The items, a `Catalogue`."""
        return self.served.catalogue

    def add_items(self, items, persist=False):
        """Make new items recommendable: text -> language model -> the run's quantizer -> codes.

        Where items have codes, a new one is scored as the trained items nearest to it by text are; in a history it is
        read through its own codes and text. An id embedding beside codes or text is zero for it.

        Args:
            items (dict, str or Path): item id -> text, or an .item file.
            persist (bool): also write them into the run folder, so that they are there after the next `load`.

        Returns:
            list of str: the ids added.

        Raises:
            VQRecError: see `new_items.as_items`; ids that are here already, or a model that knows its items by id.
        """
        item_ids, texts = as_items(items, self.catalogue.made)
        self.catalogue.refuse_present(item_ids)  # before the slow step
        self._change(Change(item_ids, texts, self._features(texts)), persist)
        return item_ids

    def _features(self, texts):
        """Return what new items need besides id and text: codes, text vectors, or both."""
        catalogue, features = self.catalogue, {}
        if catalogue.codes is None and catalogue.text_vectors is None:
            raise VQRecError(
                f"{self.config['model']} knows its items by id only; new items need a model that reads texts, such as "
                "VQRec, or a new training"
            )
        if catalogue.codes is not None:
            self._encoder.quantizer()  # an error here comes before the slow step
        vectors = self._encoder.vectors(texts)
        if catalogue.codes is not None:
            features["codes"] = self._encoder.quantizer().encode(vectors)
            features["neighbours"], features["weights"] = self._encoder.neighbours(vectors, catalogue)
        if catalogue.text_vectors is not None:
            features["text_vectors"] = vectors
        return features

    def remove_items(self, item_ids, persist=False):
        """Stop recommending items; histories may still hold them.

        Args:
            item_ids (list of str): ids of the catalogue.
            persist (bool): also write it into the run folder.

        Raises:
            VQRecError: an id that is not in the catalogue.
        """
        item_ids = [item_ids] if isinstance(item_ids, str) else [str(item) for item in item_ids]
        self._change(Change(list(dict.fromkeys(item_ids))), persist)

    def _change(self, change, persist):
        """Serve a changed catalogue; where it persists, it is the run folder's newest that is changed."""
        with self._changing:
            served, unsaved = None, self._unsaved
            if persist:  # what is written has the last word on its items
                unsaved = [left for each in unsaved if (left := each.without(change.item_ids)).item_ids]

            def accept(catalogue):
                nonlocal served
                whole = self._with(unsaved, catalogue) if persist else catalogue
                # a model that refuses does so here, before anything is written
                served = whole, self.served.engine.with_catalogue(whole)

            if persist:
                self._refuse_another_model()
                self._stored.change(change, accept)
                self._unsaved = unsaved
            else:
                accept(change.of(self.catalogue))
                self._unsaved.append(change)
            self._serve(*served)
            if persist:
                self._served_of = self._stored.catalogue

    def _with_unsaved(self, catalogue):
        """Return a catalogue of the run folder with the changes that this object has not written there."""
        return self._with(self._unsaved, catalogue)

    @staticmethod
    def _with(changes, catalogue):
        for change in changes:
            left = change.left_for(catalogue)  # some of it may have been written there meanwhile
            if left.item_ids:
                catalogue = left.of(catalogue)
        return catalogue

    def _refuse_another_model(self):
        """Refuse items of a run folder whose model is not the one in memory any more."""
        if self._version is not None and artifacts.file_version(checkpoint_file(self.run)) not in (None, self._version):
            remedy = "load the run again, restart a service"
            raise UnavailableError(f"{self.run}: its checkpoint has been replaced; {remedy}")

    def refresh(self):
        """Take over what other processes have written into the run folder; return whether there was anything.

        Raises:
            UnavailableError: a file is damaged, or the folder holds another model by now.
        """
        if self._is_newest():
            return False
        with self._changing:
            if self._is_newest():
                return False
            self._refuse_another_model()
            if not self._stored.is_newest():
                self._stored.refresh()
            self._serve_stored()
        return True

    def _is_newest(self):
        """Tell whether what is served is of all that is stored: a change that was refused may have read the rest."""
        return self._stored.is_newest() and self._stored.catalogue is self._served_of

    def _serve_stored(self):
        stored = self._stored.catalogue
        catalogue = self._with_unsaved(stored)
        self._serve(catalogue, self.served.engine.with_catalogue(catalogue))
        self._served_of = stored

    def save(self, folder):
        """Write a run folder that recommends as this object does: the checkpoint and the items as they are now.

        Args:
            folder (str or Path): run folder to write; the run's own folder is fine.
        """
        source, target = checkpoint_file(self.run), checkpoint_file(Path(folder))
        if source.resolve() != target.resolve():
            with artifacts.replace_when_done(target) as temporary:
                shutil.copyfile(source, temporary)
                self._refuse_another_model()  # which may have been copied
        with self._changing:
            if source.resolve() == target.resolve():
                self._refuse_another_model()
                self._stored.replace(self._with_unsaved)
                self._unsaved = []
                self._serve_stored()
            else:
                write_catalogue(folder, self.catalogue)
