"""Videos, frame by frame, in the colours that they declare."""
