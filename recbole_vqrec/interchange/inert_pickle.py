"""A pickle module for torch.load that builds tensors and plain values only; nothing else in the file comes to life.

torch's own weights_only refuses a file outright that holds a configuration object, as the authors' checkpoints do. Here
each class but those of tensors is an inert stand-in that keeps its state, so no code that a file names is ever run.
"""

import pickle

TENSOR_PARTS = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch.serialization", "_get_layout"),
}
NUMBERS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
STORAGES = {f"{kind}Storage" for kind in NUMBERS}


class Inert:
    """Takes the place of an object of any other class; its attributes are what the file says."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __setitem__(self, key, value):
        pass

    def append(self, value):
        """Take an element of a list-like object and drop it."""


class Unpickler(pickle.Unpickler):
    """Reads a pickle without importing what it names."""

    def find_class(self, module, name):
        """Return tensors' own classes, and an inert stand-in for any other."""
        if (module, name) in TENSOR_PARTS or (module == "torch" and (name in STORAGES or name == "Size")):
            return super().find_class(module, name)
        return type(name.split(".")[-1], (Inert,), {})


def load(file, **options):
    """Return the object in a file, as `pickle.load` does; torch reads old files through it."""
    return Unpickler(file, **options).load()
