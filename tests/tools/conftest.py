"""Lightning reads torchvision through torchmetrics, which a CPU build of torch lacks."""

from atelier.tools.torchvision_ops import make_importable

make_importable()
