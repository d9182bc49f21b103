"""Progress bars of training."""

import sys

from tqdm import tqdm


class EpochBar(tqdm):
    """Epochs done, and the validation score of the last and the best."""

    def __init__(self, config, has_validation):
        self.best, self.metric = None, config["valid_metric"]
        super().__init__(
            total=config["epochs"],
            desc=f"{config['model']:>10} {config['dataset']}",
            unit=" epochs",
            disable=not config["show_progress"] or not has_validation,
            file=sys.stderr,
        )

    def epoch_done(self, epoch, score):
        """Advance; called by RecBole's `Trainer.fit` after each validation."""
        self.best = score if self.best is None else max(self.best, score)
        self.set_postfix_str(f"valid {self.metric} {score:.4f}, best {self.best:.4f}", refresh=False)
        self.update(epoch + 1 - self.n)


class StepBar(tqdm):
    """Steps of one epoch, with the mean loss so far and the speed.

    Args:
        epoch (int): number of the epoch.
        steps (int): steps of the epoch.
        done (int): steps that were taken before.
        tokens (int): tokens of the epoch.
        enabled (bool): show it.
    """

    def __init__(self, epoch, steps, done, tokens, enabled):
        self.tokens_a_step = tokens / max(steps, 1)
        super().__init__(
            total=steps,
            initial=done,
            desc=f"epoch {epoch}",
            unit=" steps",
            leave=False,
            disable=not enabled,
            file=sys.stderr,
        )

    def step_done(self, step, losses):
        """Advance.

        Args:
            step (int): steps that are done.
            losses (list of float): sums of the loss parts so far.
        """
        if self.disable:
            return
        self.update(step - self.n)
        rate = self.format_dict["rate"] or (self.n - self.initial) / max(self.format_dict["elapsed"], 1e-9)
        loss = " + ".join(f"{part / step:.4f}" for part in losses)
        self.set_postfix_str(f"loss {loss}, {rate * self.tokens_a_step:,.0f} tokens/s", refresh=False)
