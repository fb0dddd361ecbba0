"""How good a finder's suggestion is: a panel of real tasks, an oracle, and every peer's rule."""
