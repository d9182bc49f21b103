"""A GPU that is not there: tensors that say cuda:0, are refused where CUDA would refuse them, and compute on the CPU.

Seen are the mistakes that end a run on a GPU: operands of different devices, a generator of another device than its
draw, `.numpy()` of a tensor on the GPU; and autocast has CUDA's rules. Not seen are CUDA's kernels, their number
formats, rounding and speed, streams, what is out of memory, and several GPUs.
"""

import contextlib
import functools
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode, _pop_mode_temporarily
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda", 0)
aten = torch.ops.aten
ACROSS_DEVICES = (aten.copy_, aten._to_copy)
IN_BFLOAT16 = {
    "linear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "addmv", "baddbmm", "einsum", "mv",
    "scaled_dot_product_attention",
}  # fmt: skip; of CUDA's autocast, which differs from the CPU's
IN_FLOAT32 = {
    "exp", "log", "log1p", "log2", "pow", "__pow__", "__rpow__", "reciprocal", "rsqrt", "softplus", "layer_norm",
    "norm", "nll_loss", "cross_entropy", "kl_div", "mse_loss", "binary_cross_entropy_with_logits", "logsumexp",
    "softmax", "log_softmax", "cumsum", "cumprod", "prod", "sum", "normalize", "cosine_similarity",
}  # fmt: skip
TAKES_CPU_INDEX = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_)


class OnGpu(torch.Tensor):
    """A tensor of cuda:0 that keeps its numbers in a tensor of the CPU, `held`.

    torch without CUDA cannot run autograd on its device, so to torch's own code it is one of `meta`, as fake tensors
    are, whose operators are chosen as CUDA's.
    """

    @staticmethod
    def __new__(cls, held):
        with _disable_current_modes(), torch.inference_mode(held.is_inference()):
            size = 1 + held.storage_offset() + sum((n - 1) * step for n, step in zip(held.shape, held.stride()))
            shape = torch.empty(max(size, 0), dtype=held.dtype, device="meta")
            shape = shape.as_strided(held.shape, held.stride(), held.storage_offset())
            made = torch.Tensor._make_subclass(cls, shape, device_for_backend_keys=GPU)
        made.held = held
        return made

    device = property(lambda self: GPU)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)
    is_cpu = property(lambda self: False)

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        return computed(operator, args, kwargs or {})

    def numpy(self, *args, **kwargs):
        """Refuse, as CUDA does."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it to host first.")

    def tolist(self):
        """Return plain numbers; torch refuses that to tensors that are not its own."""
        return self.cpu().tolist()

    def data_ptr(self):
        """Return where the numbers are."""
        return self.held.data_ptr()

    def __deepcopy__(self, memo):
        copied = memo[id(self)] = self.detach().clone().requires_grad_(self.requires_grad)
        copied._is_param = getattr(self, "_is_param", False)
        return copied

    def __repr__(self):
        return f"OnGpu({self.held!r})"


class Operators(TorchDispatchMode):
    """Sees operators without a tensor of the GPU as well: what is made there or moved there."""

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        return computed(operator, args, kwargs or {})


class Functions(TorchFunctionMode):
    """Says which GPU "cuda" is, attends by the plain formula, casts as autocast does: torch would ask CUDA."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if str(kwargs.get("device")) == "meta":  # asked for, as transformers does before it reads a model
            with _disable_current_modes():
                return function(*args, **kwargs)
        name = getattr(function, "__name__", "")
        if torch.is_autocast_enabled("cuda"):
            if name == "binary_cross_entropy":
                raise RuntimeError("torch.nn.functional.binary_cross_entropy is unsafe to autocast")
            to = torch.bfloat16 if name in IN_BFLOAT16 else torch.float32 if name in IN_FLOAT32 else None
            args, kwargs = tree_map(lambda each: cast(each, to), (args, kwargs))
        if function is F.scaled_dot_product_attention:
            return attention(*args, **kwargs)
        if function is torch.tensor and kwargs.get("device") is not None:
            return function(*args, **{**kwargs, "device": None}).to(numbered(torch.device(kwargs["device"])))
        if function in (torch.Tensor.to, torch.Tensor.cuda) or kwargs.get("device") is not None:
            args, kwargs = [numbered(each) for each in args], {name: numbered(each) for name, each in kwargs.items()}
        return function(*args, **kwargs)


def without_modes(function):
    """Return a function that is called as without a simulation, torch's exporter for example."""

    @functools.wraps(function)
    def called(*args, **kwargs):
        no_gpu = mock.patch.object(torch.cuda, "is_available", lambda: False)
        with _disable_current_modes(), _pop_mode_temporarily(), no_gpu:
            return function(*args, **kwargs)

    return called


def cast(value, dtype):
    """Return a tensor of floats of the GPU in a number format, if there is one, and any other value as it is."""
    floats = isinstance(value, OnGpu) and dtype is not None and value.is_floating_point()
    return value.to(dtype) if floats and value.dtype != torch.float64 else value


def numbered(value):
    """Return cuda:0 for "cuda", and any other value as it is."""
    return GPU if isinstance(value, (str, torch.device)) and str(value) == "cuda" else value


def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **more):
    """Return scaled dot-product attention."""
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill(~attn_mask, float("-inf"))
    return torch._scaled_dot_product_attention_math(query, key, value, attn_mask, dropout_p, is_causal, **more)[0]


def computed(operator, args, kwargs):
    """Return what an operator returns, computed on the CPU, if CUDA would take its arguments."""
    if operator.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):  # in inference mode only
        with Operators():
            return operator.decompose(*args, **kwargs)
    given = tree_leaves((args, kwargs))
    own = {id(each.held if isinstance(each, OnGpu) else each): each for each in given if isinstance(each, torch.Tensor)}
    on_gpu = any(isinstance(each, OnGpu) for each in own.values())
    if any(each.is_meta for each in own.values()):
        return operator(*args, **kwargs)
    if kwargs.get("device") is not None:  # to torch's own code, "where this tensor is" means `meta`
        on_gpu = torch.device(kwargs["device"]).type in ("cuda", "meta")
        kwargs = {**kwargs, "device": torch.device("cpu")}
    refuse_what_cuda_refuses(operator, args, given, on_gpu)
    args, kwargs = tree_map(lambda each: each.held if isinstance(each, OnGpu) else each, (args, kwargs))

    def placed(each):
        if not isinstance(each, torch.Tensor):
            return each
        if id(each) not in own:
            return OnGpu(each) if on_gpu else each
        changed = own[id(each)]  # in place
        assert changed.shape == each.shape, f"{operator}: the simulated GPU cannot change a shape in place"
        return changed

    return tree_map(placed, operator(*args, **kwargs))


def refuse_what_cuda_refuses(operator, args, given, on_gpu):
    """Raise CUDA's error where tensors, or a generator and its draw, are of different devices."""
    kind = operator.overloadpacket
    for each in given:
        if isinstance(each, torch.Generator) and (each.device.type == "cuda") != on_gpu:
            raise RuntimeError(f"Expected a '{'cuda' if on_gpu else 'cpu'}' device type for generator ({operator})")
    if kind in ACROSS_DEVICES:
        return
    if kind in TAKES_CPU_INDEX:
        if not isinstance(args[0], OnGpu) and any(isinstance(each, OnGpu) for each in args[1]):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        given = [args[0], *args[2:]]
    tensors = [each for each in given if isinstance(each, torch.Tensor)]
    elsewhere = [each for each in tensors if not isinstance(each, OnGpu) and each.dim()]  # a number may be anywhere
    changed = operator._schema.is_mutable and tensors and not isinstance(tensors[0], OnGpu)  # but not take GPU's
    if any(isinstance(each, OnGpu) for each in tensors) and (elsewhere or changed):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu ({operator})")


@pytest.fixture
def simulated_gpu(monkeypatch):
    """Return a context in which there is one GPU."""
    answers = {
        "is_available": True, "device_count": 1, "current_device": 0, "is_bf16_supported": True, "_lazy_init": None,
        "set_device": None, "manual_seed": None, "manual_seed_all": None, "reset_peak_memory_stats": None,
        "max_memory_allocated": 1 << 20,
    }  # fmt: skip

    @contextlib.contextmanager
    def simulated():
        with monkeypatch.context() as patch, Functions(), Operators():
            # parameters that move are new ones, for a tensor of the CPU cannot become an OnGpu
            patch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
            patch.setattr(torch.onnx, "export", without_modes(torch.onnx.export))
            for name, answer in answers.items():
                patch.setattr(torch.cuda, name, lambda *args, answer=answer, **kwargs: answer)
            patch.setattr(torch, "get_num_threads", lambda: 1)  # the modes above are of this thread alone
            yield

    return simulated
