"""A model's files: what they say, whether they may be loaded, and how they are fetched. No torch here."""
