"""Networks whose weights lie in ordinary packages: BlazePose and HED, around the files that are theirs."""
