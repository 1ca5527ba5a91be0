"""A page in the user's own browser that shows what a model finds in faces."""
