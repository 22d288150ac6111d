"""What a codec keeps of a signal, in numbers and pictures, and a transform coder to compare with."""
