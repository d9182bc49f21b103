"""The type and the range of each option of ours, read from the comment on its line in props yaml.

    # (int), (float), (bool), (dict), (str), (list)     a type; the last two are not looked into
    # (int >= 1), (float > 0), (float [0, 1))           a range
    # (list of int >= 1)                                each of a list, or one value alone
    # (float > 0 | ~), (float | auto)                   one more value; ~ is taken as well where it is the default
"""

import functools
import re
from dataclasses import dataclass
from numbers import Integral, Real

from recbole_vqrec.errors import VQRecError

NUMBER = r"-?[\d.]+"
TYPED_LINE = re.compile(
    r"(?P<name>\w+):\s*(?P<default>.*?)\s*# \((?P<list>list of )?(?P<kind>int|float|bool|str|list|dict)"
    rf"(?: (?:(?P<sign>>=?) (?P<least>{NUMBER})|(?P<interval>[\[(](?P<low>{NUMBER}), (?P<high>{NUMBER})[\])])))?"
    r"(?: \| (?P<other>\w+|~))?\) \S"
)
TEXT = "str"
KINDS = {"int": (Integral, "a whole number"), "float": (Real, "a number"), "bool": (bool, "True or False"),
         "dict": (dict, "a mapping, {name: value}")}  # fmt: skip


@dataclass(frozen=True)
class OptionType:
    """What the values of an option are.

    Args:
        kind (str): int, float, bool or dict; any other type takes all values.
        many (bool): a list of them, not empty, or one alone.
        low, high (float): bounds of a number.
        low_open, high_open (bool): whether the bounds themselves are excluded.
        of_range (str): the range in words.
        others (tuple): values that are taken as well.
    """

    kind: str
    many: bool = False
    low: float = float("-inf")
    high: float = float("inf")
    low_open: bool = False
    high_open: bool = False
    of_range: str = ""
    others: tuple = ()

    def takes(self, value):
        """Return whether a value is one of this option's."""
        if self.kind not in KINDS or value in self.others:
            return True
        values = list(value) if self.many and isinstance(value, (list, tuple)) else [value]
        return bool(values) and all(self._takes_one(each) for each in values)

    def _takes_one(self, value):
        if self.kind == "bool" or isinstance(value, bool):
            return self.kind == "bool" and isinstance(value, bool)
        if self.kind == "dict" or not isinstance(value, KINDS[self.kind][0]):
            return isinstance(value, KINDS[self.kind][0])
        above = value > self.low if self.low_open else value >= self.low
        return above and (value < self.high if self.high_open else value <= self.high)

    def __str__(self):
        words = KINDS[self.kind][1] + self.of_range
        others = "".join(f", or {'~' if other is None else other}" for other in self.others)
        return ("a list, each " if self.many else "") + words + others


def typed_option(line):
    """Return the name and the `OptionType` that a line of props yaml defines, or None where it defines none.

    Args:
        line (str): "n_layers: 2   # (int >= 1) Transformer layers", for example.
    """
    found = TYPED_LINE.match(line)
    if not found:
        return None
    bounds, of_range = {}, ""
    if found["sign"]:
        bounds = {"low": float(found["least"]), "low_open": found["sign"] == ">"}
        of_range = f" above {found['least']}" if found["sign"] == ">" else f" of at least {found['least']}"
    elif found["interval"]:
        interval = found["interval"]
        bounds = {"low": float(found["low"]), "high": float(found["high"])}
        bounds.update(low_open=interval[0] == "(", high_open=interval[-1] == ")")
        of_range = f" in {interval}"
    others = {None: (), "~": (None,)}.get(found["other"], (found["other"],))
    if found["default"] == "~" and None not in others:
        others += (None,)
    return found["name"], OptionType(found["kind"], bool(found["list"]), of_range=of_range, others=others, **bounds)


@functools.lru_cache(maxsize=None)
def option_types(folder):
    """Return {name: `OptionType`} of all props yaml files below a folder."""
    lines = (line for file in sorted(folder.rglob("*.yaml")) for line in file.read_text(encoding="utf-8").splitlines())
    return dict(filter(None, map(typed_option, lines)))


def as_they_are_read(options, folder):
    """Return options with text where an option is text, as a folder called 2024 is, and lists for tuples.

    Where an option is text and has a default, ~ is that default.

    Args:
        options (dict): name -> value, as yaml or Python reads them.
        folder (Path): props.
    """
    types, read = option_types(folder), {}
    for name, value in options.items():
        if name in types and types[name].kind == TEXT:
            number = isinstance(value, Real) and not isinstance(value, bool)
            if value is not None or None in types[name].others:
                read[name] = str(value) if number else value
        else:
            read[name] = list(value) if isinstance(value, tuple) else value
    return read


def refuse_wrong_values(options, folder):
    """Refuse values that are not of their option's type or out of its range.

    Args:
        options (dict): name -> value; names without a type are passed over.
        folder (Path): props.

    Raises:
        VQRecError: names the option, its value and what is expected.
    """
    types = option_types(folder)
    for name, value in options.items():
        if name in types and not types[name].takes(value):
            raise VQRecError(f"{name}: {value!r}, expected {types[name]}")
