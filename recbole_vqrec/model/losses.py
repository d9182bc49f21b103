"""Losses as functions of tensors.

Axis legend: T targets, U items that are scored, E further negatives of a target, H hidden size.
"""

import torch
import torch.nn.functional as F

from recbole_vqrec.model.reduced_products import ROWS, float32_operands, with_padding_rows


def full_softmax_loss(queries, items, targets, chunk=1 << 22):
    """Return the mean cross-entropy of each target among all items, without holding all T x U scores.

    loss = -1/T sum_t log softmax(queries_t . items)[targets_t]  (paper, section 2.4, with queries = s / (|s| tau)).

    Args:
        queries (torch.Tensor): [T, H], any scale or temperature applied.
        items (torch.Tensor): [U, H].
        targets (torch.LongTensor): [T] in 0 .. U - 1.
        chunk (int): scores held at once.

    Returns:
        torch.Tensor: scalar.
    """
    return contrastive_loss(queries, items, targets, chunk=chunk)


def contrastive_loss(queries, items, targets, log_weights=None, negatives=None, chunk=1 << 22):
    """Return the mean loss of each target against weighted items and negatives of its own (paper, Eq. 8).

    With q_t . v_u as score and p the target of t,
    loss = -1/T sum_t log( exp(q_t.v_p) / ( exp(q_t.v_p) + sum_{u != p} w_u exp(q_t.v_u) + sum_e exp(n_te) ) ).
    A weight is how often an item stands in the batch, so that items are scored once; the target's own weight does not
    count, which leaves its duplicates out.

    Gradients are formed in the forward pass, block by block of targets, so each score is computed once and memory is
    `chunk` scores whatever T and U. All sums are log-sum-exp in float32, under autocast too.

    Args:
        queries (torch.Tensor): [T, H], any scale or temperature applied.
        items (torch.Tensor): [U, H].
        targets (torch.LongTensor): [T] in 0 .. U - 1.
        log_weights (torch.Tensor, optional): [U] log w_u; 0 by default.
        negatives (torch.Tensor, optional): [T, E] scores of negatives, of semi-synthetic ones for example.
        chunk (int): scores held at once.

    Returns:
        torch.Tensor: scalar.
    """
    count, rows = len(targets), max(1, chunk // max(len(items), 1))
    queries = with_padding_rows(queries)  # rows of zeros have no part in any sum
    if len(queries) > count:
        rows -= rows % min(rows, ROWS)
        targets = F.pad(targets, (0, len(queries) - count))
        negatives = None if negatives is None else with_padding_rows(negatives)
    with float32_operands(queries.device):
        negatives = None if negatives is None else negatives.float()
        return _ContrastiveLoss.apply(queries.float(), items.float(), targets, log_weights, negatives, count, rows)


class _ContrastiveLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, queries, items, targets, log_weights, negatives, count, rows):
        needs_query, needs_item, _, _, needs_negative, _, _ = ctx.needs_input_grad
        query_grad = torch.empty_like(queries) if needs_query else None
        item_grad = torch.zeros_like(items) if needs_item else None
        negative_grad = torch.empty_like(negatives) if needs_negative else None
        loss = queries.new_zeros(())
        for start in range(0, len(queries), rows):
            block, target = queries[start : start + rows], targets[start : start + rows, None]
            scores = block @ items.T
            positive = scores.gather(1, target)
            if log_weights is not None:
                scores.add_(log_weights).scatter_(1, target, positive)
            # The largest score of a row is taken off in place, so that each score has one exponential and no copy.
            largest = scores.amax(dim=1, keepdim=True)
            normalizer = scores.sub_(largest).exp_().sum(dim=1, keepdim=True)
            log_normalizer = normalizer.log() + largest
            if negatives is not None:
                own = negatives[start : start + rows]
                log_normalizer = torch.logaddexp(log_normalizer, torch.logsumexp(own, dim=1, keepdim=True))
                if needs_negative:
                    torch.exp(own - log_normalizer, out=negative_grad[start : start + rows])
            loss += (log_normalizer - positive)[: max(count - start, 0)].sum()
            # scores is now exp(scores - largest); what makes it softmax is one factor a row.
            factor = torch.exp(largest - log_normalizer)
            if needs_query:
                own_grad = query_grad[start : start + rows]
                torch.mm(scores, items, out=own_grad).mul_(factor).sub_(items[target.squeeze(1)])
            if needs_item:
                item_grad.addmm_(scores.T, block * factor)
                item_grad.index_add_(0, target.squeeze(1), block, alpha=-1)
        ctx.save_for_backward(query_grad, item_grad, negative_grad)
        ctx.count = max(count, 1)
        return loss / ctx.count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        scale = upstream / ctx.count
        query_grad, item_grad, negative_grad = (None if grad is None else grad * scale for grad in ctx.saved_tensors)
        return query_grad, item_grad, None, None, negative_grad, None, None
