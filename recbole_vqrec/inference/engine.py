"""Which of the two engines scores a run's items: through codes where that is exact, else the model itself."""

from recbole_vqrec.inference.code_engine import CodeEngine
from recbole_vqrec.inference.history_scores import create_served_history_scores
from recbole_vqrec.inference.model_engine import ModelEngine
from recbole_vqrec.inference.rebuild import build_model


def create_engine(config, catalogue, state):
    """Return the engine of a run: through codes where an item is the mean of its code vectors, else the model itself.

    Args:
        config (Config): of the run.
        catalogue (Catalogue): its items.
        state (dict): the model's state, name -> tensor.

    Raises:
        VQRecError: the model needs its training data, or state and model do not fit.
    """
    model = build_model(config, catalogue, state)
    history_scores = create_served_history_scores(config, catalogue)
    if getattr(getattr(model, "items", None), "only_codes", False) and model.temperature is not None:
        return CodeEngine(model, config, catalogue, history_scores=history_scores)
    return ModelEngine(model, config, catalogue, state, history_scores)
