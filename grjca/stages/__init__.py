"""Pure transformations over arrays that carry their time; they know no file layout."""
