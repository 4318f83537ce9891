"""Inner loops of our own for x86-64 processors, in C, and how they are compiled and called."""
