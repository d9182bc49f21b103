"""The authors' published layout (UniSRec, VQ-Rec): which files there are, and how items and users are numbered.

    <D>.train.inter, <D>.valid.inter, <D>.test.inter   one row for each prefix of a user's sequence
    <D>.item2index, <D>.user2index                     id and number of each item or user
    <D>.text                                           id and text of each item
    <D>.feat1CLS, <D>.feat2CLS                         text embeddings, headerless float32, row = item number;
                                                       the second of texts with words dropped at random
    <D>.OPQ32,IVF1,PQ32x8.strict.index                 quantizer and item codes (faiss)

A mix of domains (FHCKM) names its domains in <D>.pt_datasets; its numbers are "<position of the domain>-<number>", all
files about items and users are there once for each domain, and <D>.filtered_id lists the items of the index. Any file
may be plain, .gz or .xz.
"""

import gzip
import lzma
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.preprocess.atomic_files import CONTROL

SPLITS = ("train", "valid", "test")
OF_ALL = (*(f"{split}.inter" for split in SPLITS), "filtered_id", "pt_datasets")
OF_A_DOMAIN = ("item2index", "user2index", "text", "feat1CLS", "feat2CLS")
OPENERS = {"": open, ".gz": gzip.open, ".xz": lzma.open}
READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)


def find_file(folder, name):
    """Return the path of a file that is plain, .gz or .xz, or None."""
    paths = (Path(folder) / f"{name}{suffix}" for suffix in OPENERS)
    return next((path for path in paths if path.is_file()), None)


def read_bytes(path):
    """Return the decompressed content of a file.

    Raises:
        VQRecError: it cannot be read, or the compressed data is damaged.
    """
    try:
        with OPENERS.get(path.suffix, open)(path, "rb") as file:
            return file.read()
    except READ_ERRORS as error:
        raise VQRecError(f"{path}: cannot be read ({error}); fetch the file again") from error


def read_lines(path):
    """Yield (line number, line without its end) of a text file.

    Raises:
        VQRecError: it cannot be read, is not UTF-8, or the compressed data is damaged.
    """
    number = 0
    try:
        with OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip("\r\n")
    except READ_ERRORS as error:
        raise VQRecError(f"{path}: cannot be read after line {number} ({error}); fetch the file again") from error
    except UnicodeDecodeError as error:
        raise VQRecError(f"{path}: not UTF-8 after line {number}; convert the file") from error


@dataclass(frozen=True)
class Part:
    """One domain of a data set, or all of it.

    Args:
        prefix (str): of its numbers, "0-", "1-", ... in a mix of domains, "" elsewhere.
        name (str): of its files.
    """

    prefix: str
    name: str

    @property
    def id_prefix(self):
        """Prefix of its item and user ids, as `recbole-vqrec merge` writes them."""
        return f"{self.name}-" if self.prefix else ""

    def without_prefix(self, identifier):
        """Return an id of ours as the authors write it in the files of one domain."""
        prefix = self.id_prefix if identifier.startswith(self.id_prefix) else self.prefix
        return identifier.removeprefix(prefix)

    def numbers_of(self, numbers):
        """Return the entries of id -> number that are of this domain."""
        return {identifier: number for identifier, number in numbers.items() if number.startswith(self.prefix)}


@dataclass(frozen=True)
class Layout:
    """A folder in the authors' layout.

    Args:
        folder (Path): the folder.
        name (str): D.
        parts (list of Part): the domains of a mix, else the data set itself.
    """

    folder: Path
    name: str
    parts: list

    @classmethod
    def find(cls, folder):
        """Return the layout of a folder that holds one data set.

        Raises:
            VQRecError: no folder, no data set or several in it, or a split is missing.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise VQRecError(f"{folder}: folder not found; give the folder with <D>.train.inter")
        names = {match.group(1) for path in folder.iterdir() if (match := _train_file(path))}
        if len(names) != 1:
            found = f"{len(names)} data sets ({examples(sorted(names))})" if names else "no <D>.train.inter"
            raise VQRecError(f"{folder}: holds {found}; give a folder with the files of one data set")
        name = names.pop()
        layout = cls(folder, name, parts_of(folder, name))
        for split in SPLITS:
            layout.split_file(split)
        return layout

    def split_file(self, split):
        """Return the path of a split's prefix rows."""
        path = find_file(self.folder, f"{self.name}.{split}.inter")
        if path is None:
            raise VQRecError(f"{self.folder / self.name}.{split}.inter: not found; all three splits are needed")
        return path

    def part_file(self, part, suffix):
        """Return the path of a file of one domain, here or in the domain's own folder beside this one, or None."""
        name = f"{part.name}.{suffix}"
        found = find_file(self.folder, name)
        return find_file(self.folder.parent / part.name, name) if found is None and part.prefix else found

    def files(self):
        """Return the paths of all files that are there, the index apart."""
        found = [find_file(self.folder, f"{self.name}.{suffix}") for suffix in OF_ALL]
        found += [self.part_file(part, suffix) for part in self.parts for suffix in OF_A_DOMAIN]
        return [path for path in found if path]


def _train_file(path):
    return re.fullmatch(r"(.+)\.train\.inter(\.gz|\.xz)?", path.name)


def parts_of(folder, name):
    """Return the domains of a mix by its <D>.pt_datasets, else the data set itself as its only part."""
    path = find_file(folder, f"{name}.pt_datasets")
    if path is None:
        return [Part("", name)]
    domains = [domain.strip() for _, line in read_lines(path) for domain in line.split(",") if domain.strip()]
    proper = all(re.fullmatch(r"\w[\w.-]*", domain) for domain in domains)
    if not domains or len(set(domains)) != len(domains) or not proper:
        raise VQRecError(f"{path}: expected the distinct names of domains, separated by commas, found {domains}")
    return parts_named(domains)


def parts_named(domains):
    """Return the parts of a mix of these domains."""
    return [Part(f"{position}-", domain) for position, domain in enumerate(domains)]


def read_numbers(path):
    """Return the ids of an <D>.item2index or <D>.user2index file in the order of their numbers.

    Args:
        path (Path): lines of id, tab, number.

    Raises:
        VQRecError: a line of another form, an id with control characters, an id or number twice, or numbers that are
            not 0, 1, 2, ...
    """
    id_of, seen = {}, set()
    for line_number, line in read_lines(path):
        identifier, tab, number = line.partition("\t")
        if not tab or not identifier or not _is_number(number):
            raise VQRecError(f"{path} line {line_number}: found '{line[:60]}', expected id, tab, number")
        if re.search(CONTROL, identifier):  # the atomic files would drop them, and hold another id
            raise VQRecError(f"{path} line {line_number}: control characters in the id {identifier!r}; remove them")
        if identifier in seen or int(number) in id_of:
            twice = identifier if identifier in seen else number
            raise VQRecError(f"{path} line {line_number}: '{twice}' for the second time; remove one of the lines")
        seen.add(identifier)
        id_of[int(number)] = identifier
    gap = next((number for number in range(len(id_of)) if number not in id_of), None)
    if gap is not None or not id_of:
        raise VQRecError(f"{path}: number {gap or 0} is missing; numbers must be 0, 1, 2, ... without a gap")
    return [id_of[number] for number in range(len(id_of))]


def _is_number(text):
    return text.isascii() and text.isdigit()


def write_numbers(path, ids, numbers):
    """Write ids and their numbers as an <D>.item2index or <D>.user2index file."""
    write_lines(path, (f"{identifier}\t{number}" for identifier, number in zip(ids, numbers)))


def write_lines(path, lines):
    """Write the lines of a text file, replacing it only when complete."""
    with artifacts.replace_when_done(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def number_order(number):
    """Return the sort key of a number "17" or "<domain>-<number>"."""
    return tuple(int(digits) for digits in number.split("-"))
