"""Files that are written whole, and the formats that the commands write."""
