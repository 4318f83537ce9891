"""Text generation: a scheduler and a model in a process of their own, and what speaks to it."""
