"""torch.compile where it pays."""


def compile_feed_forward(model):
    """Let torch compile the feed-forward layers of a model, ours or RecBole's, for any number of tokens.

    They hold the part of the arithmetic that gains from fusing; attention changes its shapes with each batch.

    Args:
        model (nn.Module): changed in place; parameter names stay.
    """
    for module in model.modules():
        if type(module).__name__ == "FeedForward":
            module.compile(dynamic=True)
