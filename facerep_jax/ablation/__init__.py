"""What each part of a system brings."""
