"""Bodies: what finds joints, labels and silhouettes in pictures."""
