"""Shipped workflows, their thumbnails, pictures of the page."""
