"""A plugin of napari: archives open as images that are decoded where they are looked at."""
