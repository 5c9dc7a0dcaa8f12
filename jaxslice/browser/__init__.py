"""A page that shows archives in a browser, with the native engine as WebAssembly."""
