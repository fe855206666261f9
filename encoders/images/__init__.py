"""Images without torch: files to pixels, folders of images to rows, which patch matched which word, and its picture."""
