"""Sharpness-aware minimization in its usual form: two steps around two backward passes."""

from typing import Any

import torch


class SAM(torch.optim.Optimizer):
    """Goes uphill in ``first_step``, and in ``second_step`` back and down by the base optimizer.

    Source: P. Foret et al., "Sharpness-Aware Minimization for Efficiently Improving
    Generalization" (2021).
    """

    def __init__(self, params: Any, base: Any, rho: float = 0.05, **options: Any) -> None:
        super().__init__(params, {"rho": rho, **options})
        self.base_optimizer = base(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups

    def _trained(self) -> list[tuple[float, Any]]:
        return [
            (group["rho"], tensor)
            for group in self.param_groups
            for tensor in group["params"]
            if tensor.grad is not None
        ]

    @torch.no_grad()
    def first_step(self) -> None:
        norm = torch.stack([tensor.grad.norm() for _, tensor in self._trained()]).norm()
        for rho, tensor in self._trained():
            self.state[tensor]["old"] = tensor.clone()
            tensor.add_(tensor.grad * rho / (norm + 1e-12))
        self.zero_grad()

    @torch.no_grad()
    def second_step(self) -> None:
        for _, tensor in self._trained():
            tensor.copy_(self.state[tensor]["old"])
        self.base_optimizer.step()
        self.zero_grad()

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Both steps in one; the gradients are there already."""
        self.first_step()
        loss = torch.enable_grad()(closure)()
        self.second_step()
        return loss

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self.base_optimizer.param_groups = self.param_groups
