"""A data set of three users and five items in the authors' layout, written out by hand."""

import numpy as np

from recbole_vqrec.config import stage_options
from recbole_vqrec.interchange.import_unisrec import import_unisrec
from recbole_vqrec.quantization.faiss_index import write_index
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer

HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token"
# sequences 0 1 2 3 4, 1 0 2 2 and 3 2 0 1; item 4 is in no training row
FILES = {
    "train.inter": [HEADER, "0\t0 1\t2", "0\t0\t1", "1\t1\t0", "2\t3\t2"],
    "valid.inter": [HEADER, "0\t0 1 2\t3", "1\t1 0\t2", "2\t3 2\t0"],
    "test.inter": [HEADER, "0\t0 1 2 3\t4", "1\t1 0 2\t2", "2\t3 2 0\t1"],
    "item2index": ["X00A\t0", "B00B\t1", "B00C\t2", "B00D\t3", "B00E\t4"],
    "user2index": ["U1\t0", "U2\t1", "U3\t2"],
    "text": [
        "item_id:token\ttext:token_seq",
        "B00E\tgreen paint",
        "X00A\tred paint.",
        "B00B\tsteel ruler",
        "B00C\tsteel screws",
        "B00D\tdark green paint",
    ],
}
INTER = [
    "user_id:token\titem_id:token\ttimestamp:float",
    *["U1\tX00A\t0", "U1\tB00B\t1", "U1\tB00C\t2", "U1\tB00D\t3", "U1\tB00E\t4"],
    *["U2\tB00B\t0", "U2\tX00A\t1", "U2\tB00C\t2", "U2\tB00C\t3"],
    *["U3\tB00D\t0", "U3\tB00C\t1", "U3\tX00A\t2", "U3\tB00B\t3"],
]
INDEX = "OPQ2,IVF1,PQ2x8.strict.index"
FEATURES = np.arange(20, dtype=np.float32).reshape(5, 4) / 10


def quantizer():
    """Return two codebooks of 256 codes for vectors of size 4."""
    random = np.random.default_rng(0)
    rotation = np.linalg.qr(random.normal(size=(4, 4)))[0].astype(np.float32)
    offset = np.array([0.5, -0.25, 0, 1], dtype=np.float32)
    return ProductQuantizer(rotation, offset, random.normal(size=(2, 256, 2)).astype(np.float32))


def write(folder, name="Toy", features=True, index=True, **changed):
    """Write the files of a data set; `changed` are files with other lines, None for a missing one."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, lines in {**FILES, **changed}.items():
        if lines is not None:
            (folder / f"{name}.{suffix}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if features:
        FEATURES.tofile(folder / f"{name}.feat1CLS")
    if index:
        write_index(folder / f"{name}.{INDEX}", quantizer(), quantizer().encode(FEATURES[:4]))
    return folder


def write_mix(folder):
    """Write a mix FT of the domains Food and Toys, both with the sequences above."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "valid", "test"):
        lines = [HEADER]
        for domain in "01":
            for line in FILES[f"{split}.inter"][1:]:
                user, history, item = line.split("\t")
                history = " ".join(f"{domain}-{number}" for number in history.split())
                lines.append(f"{domain}-{user}\t{history}\t{domain}-{item}")
        (folder / f"FT.{split}.inter").write_text("\n".join(lines) + "\n")
    for name in ("Food", "Toys"):
        for suffix in ("item2index", "user2index", "text"):
            (folder / f"{name}.{suffix}").write_text("\n".join(FILES[suffix]) + "\n")
        FEATURES.tofile(folder / f"{name}.feat1CLS")
    (folder / "FT.pt_datasets").write_text("Food,Toys\n")
    trained = [f"{domain}-{number}" for domain in "01" for number in "0123"]
    (folder / "FT.filtered_id").write_text("\n".join(trained) + "\n")
    codes = quantizer().encode(np.concatenate([FEATURES[:4], FEATURES[:4]]))
    write_index(folder / f"FT.{INDEX}", quantizer(), codes)
    return folder


def bring_in(folder, out, **options):
    """Import a folder whose vectors have the size of FEATURES."""
    return import_unisrec(folder, out, stage_options(), plm_size=4, progress=False, **options)


def lines(path):
    """Return the lines of a text file."""
    return path.read_text(encoding="utf-8").splitlines()
