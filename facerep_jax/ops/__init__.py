"""Parameter-free maths: pure functions of arrays."""
