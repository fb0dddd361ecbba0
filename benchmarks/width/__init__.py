"""Whether the best rate stays where it is as a network gets wider; see ``__main__``."""
