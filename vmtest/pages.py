# Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.
#
# A drgn script: prints what the crashed kernel knew of page frames.
#   drgn -c CORE -s VMLINUX vmtest/pages.py < PFNS

import sys

from drgn.helpers.linux.mm import compound_head, decode_page_flags, page_to_pfn, pfn_to_page


def describe(pfn):
    page = pfn_to_page(prog, pfn)
    head = compound_head(page)
    words = [
        f"flags {decode_page_flags(page)}",
        f"_refcount {page._refcount.counter.value_()}",
        f"_mapcount {page._mapcount.counter.value_() & 0xffffffff:#x}",
        f"mapping {page.mapping.value_():#x}",
        f"private {page.private.value_():#x}",
    ]
    if head != page:
        words.append(f"tail of pfn {page_to_pfn(head).value_():#x}: {describe(page_to_pfn(head).value_())}")
    return ", ".join(words)


for line in sys.stdin:
    pfn = int(line, 0)
    print(f"pfn {pfn:#x}: {describe(pfn)}")
