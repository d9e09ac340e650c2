"""Where images come from: folders, archives, arrays, tables, the hub, bundled sets."""
