"""What an image or a text is like, as columns of numbers."""
