"""RecBole's Trainer on the fastest batches, by one process or several, in the precision asked for."""

import torch
from recbole.utils import calculate_valid_score

from recbole_vqrec import distributed, registry
from recbole_vqrec.data.batches import training_batches
from recbole_vqrec.errors import VQRecError, examples, refuse_other
from recbole_vqrec.evaluation.collector import PlainValuesCollector
from recbole_vqrec.memory import return_free_memory
from recbole_vqrec.model.all_positions import all_positions_loss
from recbole_vqrec.model.history_scores import encoder_alone
from recbole_vqrec.trainer.checkpointed_trainer import CheckpointedTrainer
from recbole_vqrec.trainer.compiled import compile_feed_forward
from recbole_vqrec.trainer.fused import fused
from recbole_vqrec.trainer.learning_rate import SCHEDULES, set_learning_rate
from recbole_vqrec.trainer.precision import PRECISIONS, denormals_flushed, products_in
from recbole_vqrec.trainer.steps import Steps

LEARNERS = ("adam", "adamw", "sgd", "adagrad", "rmsprop")  # RecBole takes any other word for adam


class SequenceTrainer(CheckpointedTrainer):
    """Trains any sequential model, ours or RecBole's, on the fastest batches that leave its loss as it is.

    RecBole's loops are its own. `rank_collector`, where set, receives the scores of every full-ranking evaluation (see
    `RankCollector`).

    Args:
        config (Config): RecBole configuration with the options of props/overall.yaml.
        model (SequentialRecommender): the model.

    Raises:
        VQRecError: an unknown precision, schedule or learner.
    """

    def __init__(self, config, model):
        super().__init__(config, model)
        if config["enable_amp"]:
            raise VQRecError("enable_amp: the trainers here do not read it; set precision: bfloat16")
        refuse_other("learner", str(config["learner"]).lower(), LEARNERS)
        for option, valid in (("precision", PRECISIONS), ("learning_rate_schedule", SCHEDULES)):
            if config[option] is not None:
                refuse_other(option, config[option], valid)
        if config["compile"]:
            compile_feed_forward(model)
        self.eval_collector = PlainValuesCollector(config)
        self.rank_collector = None
        self._batches = None
        self._stage_start = 0  # the first epoch of the stage of training

    def _build_optimizer(self, **kwargs):
        return fused(super()._build_optimizer(**kwargs))

    def _fast_batches(self, train_data):
        """Return the batches that take the place of RecBole's training loader, made once."""
        if self._batches is None or self._batches[0] is not train_data:
            kind = registry.of(self.config).batches
            if kind == registry.ALL_POSITIONS and self.config["loss_type"] == "BPR":
                kind = registry.TRIMMED_ROWS
            if not self.config["single_spec"]:
                kind = registry.STOCK_ROWS
            self._batches = (train_data, training_batches(self.config, train_data, kind))
        return self._batches[1]

    def _loss_function(self, batches):
        """Return the function that turns a batch into its loss or losses."""
        if (
            getattr(batches, "batches", None) == registry.ALL_POSITIONS
            and not registry.own(self.config["model"], self.config.model_class)
        ):
            return all_positions_loss(self.model)
        return self.model.calculate_loss

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        return_free_memory()  # what validation has left
        # RecBole validates, and keeps, every `eval_step`-th epoch; here what training or a stage ends with as well
        step = self.config["eval_step"]
        self.eval_step = min(step, 1) if epoch_idx + 1 == self.epochs else step
        batches = self._fast_batches(train_data)
        self._begin(epoch_idx)
        steps = Steps(self, batches, epoch_idx, self._step)
        loss = self._recorded(loss_func or self._loss_function(batches), batches)
        super()._train_epoch(steps, epoch_idx, loss_func=loss, show_progress=show_progress)
        return_free_memory()  # before validation
        total = tuple(distributed.summed(self._losses or [0.0], self.device))
        return total if len(total) > 1 else total[0]

    def _recorded(self, loss_function, batches):
        """Return the loss function with precision applied, this process's share taken, and its values summed up."""

        def recorded(interaction):
            self._interaction = interaction
            share = getattr(batches, "share", 1 / distributed.rank_and_size()[1])  # RecBole's loader is not shared out
            with products_in(self.config["precision"], self.device):
                losses = loss_function(interaction) if share else torch.zeros((), device=self.device)
            losses = losses if isinstance(losses, tuple) else (losses,)
            if distributed.rank_and_size()[1] > 1:
                losses = tuple(share * loss for loss in losses)
                losses = (distributed.tied_to_all(losses[0], self.model), *losses[1:])
            values = [loss.item() for loss in losses]
            before = self._losses or [0.0] * len(values)
            self._losses = [total + value for total, value in zip(before, values)]
            return losses if len(losses) > 1 else losses[0]

        return recorded

    def before_step(self, done):
        """Set the learning rate of a step.

        Args:
            done (float): 0 .. 1, the share of the epoch that lies behind.
        """
        share = (self._epoch - self._stage_start + done) / (self.epochs - self._stage_start)
        set_learning_rate(self.optimizer, self.config["learning_rate_schedule"], share)

    def _check_nan(self, loss):
        if torch.isnan(loss):
            users = ""
            if self.config["USER_ID_FIELD"] in self._interaction:
                numbers = self._interaction[self.config["USER_ID_FIELD"]].tolist()
                users = f", users {examples([str(number) for number in numbers])} (internal ids)"
            raise VQRecError(
                f"the loss is not a number at step {self._step} of epoch {self._epoch}{users}; lower learning_rate, "
                "set clip_grad_norm: {max_norm: 1.0}, or set precision: float32"
            )

    def fit(self, *args, **kwargs):
        """Train as `CheckpointedTrainer.fit` does, with the run's precision, gradients summed over all processes."""
        with denormals_flushed(self.config["precision"]), distributed.summed_gradients(self.model.parameters()):
            return super().fit(*args, **kwargs)

    def _valid_epoch(self, valid_data, show_progress=False):
        # With what histories add, which does not change, the score hardly rises any more while the encoder is still
        # learning, and training would stop too early.
        with encoder_alone(self.model):
            score, result = distributed.from_first(super()._valid_epoch(valid_data, show_progress))
        self.valid_scores.append(float(score))
        self.valid_epochs.append(len(self.train_loss_dict))
        self._valid_result = dict(result)
        return score, result

    def best_validation(self, valid_data, best):
        """Return score and result of the best epoch on the validation split, with what histories add.

        Args:
            valid_data (DataLoader or None): its batches.
            best (tuple): what `fit` returned, which is that of the encoder alone.
        """
        if not valid_data or getattr(self.model, "history_scores", None) is None:
            return best
        result = self.evaluate(valid_data)
        return calculate_valid_score(result, self.valid_metric), result

    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Evaluate as RecBole's `Trainer.evaluate` does, the best epoch read from a plain checkpoint."""
        if not eval_data:
            return None
        if load_best_model:
            self._load_best(model_file, eval_data._dataset)
        result = super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)
        places = self.config["metric_decimal_place"]
        return {name: round(float(value), places) for name, value in result.items()}  # GAUC is a float32, json has none

    def _full_sort_batch_eval(self, batched_data):
        interaction, scores, rows, items = super()._full_sort_batch_eval(batched_data)
        if self.rank_collector is not None:
            self.rank_collector.add(interaction, scores, rows, items)
        return interaction, scores, rows, items
