"""What leaves the house: terminal, files, report, patches, served features."""
