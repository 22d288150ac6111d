"""Writing features into a file."""
