"""Names of the categories of both Amazon releases, and where their files lie below a folder."""

from pathlib import Path

from recbole_vqrec.defaults import read_props
from recbole_vqrec.errors import VQRecError, examples, nearest, refuse_other
from recbole_vqrec.preprocess.raw_files import first_line

RATINGS = {"2018": ["{}.csv", "{}_5.json", "{}.json"], "2023": ["{}.csv", "{}.jsonl"]}
METADATA = {"2018": ["meta_{}.json"], "2023": ["meta_{}.jsonl"]}
COMPRESSED = ("", ".gz", ".xz", ".bz2", ".zip")


def full_category(name, version):
    """Return the full name of a category: "Scientific" is Industrial_and_Scientific.

    Args:
        name (str): short name of props/download.yaml, full name, its beginning, or one of its words, in any case.
        version (str): "2018" or "2023".

    Raises:
        VQRecError: no such release; no category, or several, of this name.
    """
    version, wanted = str(version), str(name).lower()
    refuse_other("version", version, RATINGS)
    categories = read_props("download.yaml")[f"amazon_{version}"]["categories"]
    short_names = {full: short.lower() for short, (full, _) in categories.items()}
    rules = [
        lambda category: wanted in (category.lower(), short_names[category]),
        lambda category: category.lower().startswith(f"{wanted}_"),
        lambda category: wanted in category.lower().split("_"),
    ]
    for rule in rules:
        found = [category for category in short_names if rule(category)]
        if len(found) == 1:
            return found[0]
        if found:
            raise VQRecError(f"category '{name}' of {version} may be {' or '.join(found)}; give the full name")
    hint = nearest(name, [*categories, *short_names]) or f"; the categories are {', '.join(short_names)}"
    raise VQRecError(f"category '{name}' is not in the {version} release{hint}")


def find_files(category, version, raw):
    """Return the paths of a category's ratings and metadata anywhere below a folder; a ratings csv goes first.

    Raises:
        VQRecError: the folder or a file is missing.
    """
    raw = Path(raw)
    if not raw.is_dir():
        raise VQRecError(f"{raw}: folder not found; give the folder of the raw Amazon files as --raw")
    return tuple(_find(raw, category, patterns[version], version) for patterns in (RATINGS, METADATA))


def _is_of(version, path):
    """Tell whether a file may be of a release: ratings of both have the same name, those of 2023 have a header."""
    if not path.name.partition(".")[2].startswith("csv"):
        return True
    columns = first_line(path)
    return "user_id" in columns if version == "2023" else "parent_asin" not in columns


def _find(raw, category, patterns, version):
    names = [pattern.format(category) + suffix for pattern in patterns for suffix in COMPRESSED]
    for name in names:
        if found := [path for path in sorted(raw.rglob(name)) if _is_of(version, path)]:
            return found[0]
    raise VQRecError(f"{raw}: no {examples(names[::5])}, plain or compressed; put the {version} file there")
