"""``kubectl llminference``: what the operator knows and would do, asked from a terminal.

arguments → command → client reads → picture, change or request (pure) → rendering (pure) → text or JSON.
"""
