"""Names of the categories of both Amazon releases, and where their files lie below a folder."""

from pathlib import Path

from recbole_vqrec.errors import VQRecError, examples, nearest

IN_BOTH = (
    "All_Beauty Appliances Arts_Crafts_and_Sewing Automotive Books CDs_and_Vinyl Cell_Phones_and_Accessories "
    "Clothing_Shoes_and_Jewelry Digital_Music Electronics Gift_Cards Grocery_and_Gourmet_Food Home_and_Kitchen "
    "Industrial_and_Scientific Kindle_Store Magazine_Subscriptions Movies_and_TV Musical_Instruments Office_Products "
    "Patio_Lawn_and_Garden Pet_Supplies Software Sports_and_Outdoors Tools_and_Home_Improvement Toys_and_Games "
    "Video_Games"
).split()
CATEGORIES = {
    "2018": sorted([*IN_BOTH, "AMAZON_FASHION", "Luxury_Beauty", "Prime_Pantry"]),
    "2023": sorted(
        [
            *IN_BOTH, "Amazon_Fashion", "Baby_Products", "Beauty_and_Personal_Care", "Handmade_Products",
            "Health_and_Household", "Health_and_Personal_Care", "Subscription_Boxes", "Unknown",
        ]
    ),
}  # fmt: skip
RATINGS = {"2018": ["{}.csv", "{}_5.json", "{}.json"], "2023": ["{}.csv", "{}.jsonl"]}
METADATA = {"2018": ["meta_{}.json"], "2023": ["meta_{}.jsonl"]}
COMPRESSED = ("", ".gz", ".xz", ".bz2", ".zip")


def full_category(name, version):
    """Return the full name of a category: "Scientific" is Industrial_and_Scientific.

    Args:
        name (str): full name, its beginning, or one of its words, in any case.
        version (str): "2018" or "2023".

    Raises:
        VQRecError: no category, or several, of this name.
    """
    known = CATEGORIES[version]
    wanted = name.lower()
    rules = [
        lambda category: category == wanted,
        lambda category: category.startswith(f"{wanted}_"),
        lambda category: wanted in category.split("_"),
    ]
    for rule in rules:
        found = [category for category in known if rule(category.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            raise VQRecError(f"category '{name}' of {version} may be {' or '.join(found)}; give the full name")
    hint = nearest(name, known) or f"; the categories are {', '.join(known)}"
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


def _find(raw, category, patterns, version):
    names = [pattern.format(category) + suffix for pattern in patterns for suffix in COMPRESSED]
    for name in names:
        if found := sorted(raw.rglob(name)):
            return found[0]
    raise VQRecError(f"{raw}: no {examples(names[::5])}, plain or compressed; put the {version} file there")
