"""What each task makes of texts and of the engine's arrays. No torch, no HTTP."""
