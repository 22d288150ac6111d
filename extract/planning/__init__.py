"""What of a data set a store holds already, what has changed, and how it is brought up to date."""
