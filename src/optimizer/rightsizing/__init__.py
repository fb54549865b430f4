"""Right-sizing: policies that request resources, and the replay that proves them."""
