"""An accelerator made of paper: tensors that say they are elsewhere, and are computed here.

It finds what a GPU would refuse, on a machine that has none: an operation over tensors of two devices, a tensor read by
NumPy where it lies. Within `there()` its device can be given to `Module.to`, to `Packed`, to every `torch.zeros`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend


class _Module(_DummyBackendModule):
    """What torch.autocast and torch.random ask of a device."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_rng_state(self, device: object = None) -> Tensor:
        """That of the CPU, which draws for it: torch.random.fork_rng asks every accelerator."""
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        torch.set_rng_state(state)


if not torch.cuda.is_available():  # torch has room for one accelerator, and wants to know it before anything is learnt
    _setup_privateuseone_for_python_backend("paper", backend_module=_Module())
CROSSING = ("aten::_to_copy", "aten::copy_", "aten::_local_scalar_dense", "aten::index", "aten::index_put")
"""What may take tensors of two devices, as with CUDA."""


class Paper(Tensor):
    """A tensor elsewhere; `near` holds its numbers here."""

    near: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, near: Tensor) -> "Paper":
        made: Paper = Tensor._make_wrapper_subclass(
            cls,
            near.shape,
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=_paper(),
        )
        made.near = near
        return made

    def __init__(self, near: Tensor) -> None:
        pass

    def tolist(self) -> Any:
        """A copy of the numbers, which a device gives too."""
        return self.near.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _computed(func, args, kwargs or {})


class _There(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


@contextmanager
def there() -> Iterator[torch.device]:
    """While it lasts, this device can be computed on."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=) then asks the mode
    try:
        with _There():  # type: ignore[no-untyped-call]
            yield _paper()
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(before)


def _computed(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    far = [x for x in tensors if isinstance(x, Paper)]
    name = func._schema.name  # type: ignore[attr-defined]
    if far and any(x.dim() and not isinstance(x, Paper) for x in tensors) and not name.startswith(CROSSING):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device")
    wanted = kwargs.get("device")
    here = {**kwargs, "device": torch.device("cpu")} if wanted is not None else kwargs
    found = func(*tree_map(_near, args), **tree_map(_near, here))
    if torch.device(wanted).type != _paper().type if wanted is not None else not far:
        return found
    same = {id(x.near): x for x in far}  # what was changed in place stays the tensor that it was
    return tree_map(lambda x: (same[id(x)] if id(x) in same else Paper(x)) if isinstance(x, Tensor) else x, found)


def _paper() -> torch.device:
    return torch.device("paper", 0)


def _near(x: Any) -> Any:
    return x.near if isinstance(x, Paper) else x
