"""A config's model, ours or RecBole's, with what is added to its scores."""

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.dropout import replace_dropout
from recbole_vqrec.model.history_scores import create_history_scores


def create_model(config, dataset):
    """Return the model of a config on its device.

    Args:
        config (Config): RecBole configuration.
        dataset (SequentialDataset): the training split.

    Raises:
        VQRecError: as the model and `create_history_scores`; options that a model of RecBole does not take.
    """
    model = _built(config, dataset)
    replace_dropout(model)
    if not hasattr(model, "history_scores"):
        _add_history_scores(model, create_history_scores(config, dataset))
    return model.to(config["device"])


def _built(config, dataset):
    try:
        model = config.model_class(config, dataset)
    except (AssertionError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        if not config.model_class.__module__.startswith("recbole."):  # ours refuse options by themselves
            raise
        raise VQRecError(
            f"{config['model']}: RecBole's model does not take its options ({type(error).__name__}: {error}); see "
            "hidden_size, n_heads, hidden_act and loss_type among them"
        ) from error
    if getattr(model, "mask_item_length", 1) < 1:
        raise VQRecError(
            f"mask_ratio: {config['mask_ratio']} of MAX_ITEM_LIST_LENGTH {config['MAX_ITEM_LIST_LENGTH']} is less than "
            f"one item that {config['model']} could hide; raise one of them"
        )
    return model


def _add_history_scores(model, history_scores):
    """Let a sequential model of RecBole score with what its histories add, as ours do by themselves."""
    if history_scores is None:
        return
    model.history_scores, score_all, score_one = history_scores, model.full_sort_predict, model.predict

    def history(interaction):
        return interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN]

    def full_sort_predict(interaction):
        scores, added = score_all(interaction), model.history_scores
        return scores if added is None else added.add_to_all(scores.view(len(interaction), -1), *history(interaction))

    def predict(interaction):
        scores, added = score_one(interaction), model.history_scores
        return scores if added is None else added.add_to_one(scores, interaction[model.ITEM_ID], *history(interaction))

    model.full_sort_predict, model.predict = full_sort_predict, predict
