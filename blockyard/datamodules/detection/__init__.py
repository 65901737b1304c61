"""Pictures with boxes around the objects in them."""
