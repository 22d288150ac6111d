"""What people look at: page, figures, timelines."""
