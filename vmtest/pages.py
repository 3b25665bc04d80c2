# Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.
#
# A drgn script: prints what the crashed kernel knew of page frames.
#   drgn -c CORE -s VMLINUX vmtest/pages.py PFN...

import sys

from drgn import Object
from drgn.helpers.linux.mm import compound_head, decode_page_flags, page_to_pfn, pfn_to_page


def describe(pfn):
    page = pfn_to_page(prog, pfn)
    head = compound_head(page)
    words = [
        f"flags {page.flags.value_() if not hasattr(page.flags, 'f') else page.flags.f.value_():#x}"
        f" ({decode_page_flags(page)})",
        f"_refcount {page._refcount.counter.value_()}",
        f"_mapcount {page._mapcount.counter.value_() & 0xffffffff:#x}",
        f"mapping {page.mapping.value_():#x}",
        f"private {page.private.value_():#x}",
    ]
    if head != page:
        words.append(f"tail of pfn {page_to_pfn(head).value_():#x}: {describe(page_to_pfn(head).value_())}")
    return ", ".join(words)


for arg in sys.argv[1:]:
    pfn = int(arg, 0)
    print(f"pfn {pfn:#x}: {describe(pfn)}")
