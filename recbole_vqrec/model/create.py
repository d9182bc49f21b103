"""A config's model, ours or RecBole's, with what is added to its scores."""

from recbole_vqrec.model.co_occurrence import create_co_occurrence


def create_model(config, dataset):
    """Return the model of a config on its device.

    Args:
        config (Config): RecBole configuration.
        dataset (SequentialDataset): the training split.

    Raises:
        VQRecError: as the model and `create_co_occurrence`.
    """
    model = config.model_class(config, dataset)
    if not hasattr(model, "co_occurrence"):
        _add_co_occurrence(model, create_co_occurrence(config, dataset))
    return model.to(config["device"])


def _add_co_occurrence(model, co_occurrence):
    """Let a sequential model of RecBole score with co-occurrence, as ours do by themselves."""
    if co_occurrence is None:
        return
    model.co_occurrence, score_all, score_one = co_occurrence, model.full_sort_predict, model.predict

    def history(interaction):
        return interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN]

    def full_sort_predict(interaction):
        scores = score_all(interaction)
        return co_occurrence.add_to_all(scores.view(len(interaction), -1), *history(interaction))

    def predict(interaction):
        return co_occurrence.add_to_one(score_one(interaction), interaction[model.ITEM_ID], *history(interaction))

    model.full_sort_predict, model.predict = full_sort_predict, predict
