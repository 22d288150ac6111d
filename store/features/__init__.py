"""Features on their way into a file."""
