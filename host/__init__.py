"""The only code that touches the host's insides: model classes, patches, run-scoped state, folders, images."""
