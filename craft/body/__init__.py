"""Bodies: joints, labels, parts, masks, the part editor's value, published maskers and boxes."""
