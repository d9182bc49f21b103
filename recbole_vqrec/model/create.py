"""A config's model, ours or RecBole's, with what is added to its scores."""

from recbole_vqrec.model.dropout import replace_dropout
from recbole_vqrec.model.history_scores import create_history_scores


def create_model(config, dataset):
    """Return the model of a config on its device.

    Args:
        config (Config): RecBole configuration.
        dataset (SequentialDataset): the training split.

    Raises:
        VQRecError: as the model and `create_history_scores`.
    """
    model = config.model_class(config, dataset)
    replace_dropout(model)
    if not hasattr(model, "history_scores"):
        _add_history_scores(model, create_history_scores(config, dataset))
    return model.to(config["device"])


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
