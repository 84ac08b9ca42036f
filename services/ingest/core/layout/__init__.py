"""From what stands where on a PDF's pages to running text: reading order, paragraphs, headings, lists, tables.

Lengths are points; x grows to the right and y downwards, in the direction in which the page is read.
"""
