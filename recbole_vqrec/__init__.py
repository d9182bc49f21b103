"""VQ-Rec (Hou et al., WWW 2023, arXiv 2210.12316) as a RecBole extension: vector-quantized, transferable items."""

__version__ = "0.1.0"
__all__ = ["__version__", "Config", "Recommender", "compare", "load_data_and_model", "register", "run"]


def __getattr__(name):
    """Import the public names on first use, so that `import recbole_vqrec` costs nothing."""
    import importlib

    homes = {"Config": "config", "Recommender": "inference.recommender", "register": "registry"}
    if name in __all__:
        return getattr(importlib.import_module(f"recbole_vqrec.{homes.get(name, 'quick_start')}"), name)
    raise AttributeError(f"module 'recbole_vqrec' has no attribute '{name}'")
