"""Where images come from, how they are kept, and how tasks are cut from them."""
