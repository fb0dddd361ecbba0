"""An installed Layerwise with PyTorch: a frozen layer stays, another learns, a rate is found."""

import torch

from layerwise import cosine, warmup
from layerwise.torch import ScheduleLR, explain, find_lr, param_groups

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
rules = {"0": 0.0, "2": 2.0}
assert "0.weight" in str(explain(model, rules, learning_rate=1e-2))
optimizer = torch.optim.AdamW(param_groups(model, rules, lr=1e-2))
scheduler = ScheduleLR(optimizer, warmup(4) >> cosine(60))
x = torch.randn(64, 4)
batches = [(part, part[:, :1] - part[:, 1:2]) for part in x.split(8)]
loss = torch.nn.functional.mse_loss

found = find_lr(model, optimizer, loss, batches, steps=40)
assert found.reason
body, head = model[0].weight.detach().clone(), model[2].weight.detach().clone()
for inputs, targets in batches * 8:
    optimizer.zero_grad()
    loss(model(inputs), targets).backward()
    optimizer.step()
    scheduler.step()
assert torch.equal(model[0].weight, body)
assert not torch.equal(model[2].weight, head)
