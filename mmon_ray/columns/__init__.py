"""From one column of an Arrow batch to the arrays that states are computed from, each made once a batch.

views      what states ask for: numbers, categories, codes
buckets    counts by the size of numbers (compiled)
buffers    Arrow's memory as numpy, without copies
kernels    the compiled loops (numba, at first use): what is called for every value
selection  every k-th of the sorted values, without sorting
shapes     what texts look like (compiled)
characters what each character is: of which script, part of a word, ...
letters    texts read character by character: what they hold, their words (compiled)
pictures   images in files, in text or as numbers: size and greys of each
hashing    one 64-bit hash a value, the same for equal values of any type; a stored format
"""
