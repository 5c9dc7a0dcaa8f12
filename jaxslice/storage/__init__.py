"""Where bytes are: locations, folders of objects, safe replacement."""
