"""The studio designer in plain torch: text-conditioned UNet, CLIP-layout text encoder, pose ControlNet."""
