"""Who is computed next: plain Python, no clock, no threads, no engine."""
