"""Networks that find bodies: BlazePose's maths around its TFLite files, and the studio body network."""
