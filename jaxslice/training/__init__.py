"""Float networks: trained, or fitted in closed form. Knows no files and no archives."""
