"""Losses as functions of tensors.

Axis legend: T targets, N items, H hidden size.
"""

import torch


def full_softmax_loss(queries, items, targets, chunk=1 << 22):
    """Return the mean cross-entropy of each target among all items, without holding all T x N scores.

    loss = -1/T sum_t log softmax(queries_t . items)[targets_t]  (paper, section 2.4, with queries = s / (|s| tau)).

    Gradients are formed in the forward pass, block by block of targets, so each score is computed once and memory is
    `chunk` scores whatever T and N.

    Args:
        queries (torch.Tensor): [T, H], any scale or temperature applied.
        items (torch.Tensor): [N, H].
        targets (torch.LongTensor): [T] in 0 .. N - 1.
        chunk (int): scores held at once.

    Returns:
        torch.Tensor: scalar.
    """
    with torch.autocast(queries.device.type, enabled=False):
        return _FullSoftmaxLoss.apply(queries.float(), items.float(), targets, chunk)


class _FullSoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, queries, items, targets, chunk):
        count, rows = len(queries), max(1, chunk // max(len(items), 1))
        needs_query, needs_item = ctx.needs_input_grad[:2]
        query_grad = torch.empty_like(queries) if needs_query else None
        item_grad = torch.zeros_like(items) if needs_item else None
        loss = queries.new_zeros(())
        for start in range(0, count, rows):
            block, target = queries[start : start + rows], targets[start : start + rows, None]
            scores = block @ items.T
            log_normalizer = torch.logsumexp(scores, dim=1, keepdim=True)
            loss += (log_normalizer - scores.gather(1, target)).sum()
            if needs_query or needs_item:
                gradient = scores.sub_(log_normalizer).exp_()  # softmax - one-hot, in place
                gradient.scatter_add_(1, target, torch.full_like(target, -1, dtype=gradient.dtype))
                if needs_query:
                    torch.mm(gradient, items, out=query_grad[start : start + rows])
                if needs_item:
                    item_grad.addmm_(gradient.T, block)
        ctx.save_for_backward(query_grad, item_grad)
        ctx.count = max(count, 1)
        return loss / ctx.count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        query_grad, item_grad = ctx.saved_tensors
        scale = upstream / ctx.count
        return tuple(None if grad is None else grad * scale for grad in (query_grad, item_grad)) + (None, None)
