"""Recipe of the designer: text encoder, UNet, pose ControlNet, critic."""
