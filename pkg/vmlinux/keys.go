// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmlinux

// The keys of VMCOREINFO that are looked for in a kernel file, in the order of
// the text that is made of them: what kernel/vmcore_info.c and its parts for
// x86 export, and what makedumpfile asks for besides. Every kernel lacks some.

// symbols are those of SYMBOL().
var symbols = []string{
	"init_uts_ns", "_stext", "swapper_pg_dir", "init_level4_pgt", "init_top_pgt", "level4_kernel_pgt",
	"sme_me_mask",
	"mem_map", "mem_section", "node_data", "contig_page_data", "node_online_map", "node_states",
	"vmlist", "vmap_area_list", "high_memory", "max_pfn", "free_huge_page",
	"prb", "printk_rb_static", "clear_seq",
	"log_buf", "log_buf_len", "log_end", "log_first_idx", "clear_idx", "log_next_idx",
	"kallsyms_names", "kallsyms_num_syms", "kallsyms_token_table", "kallsyms_token_index",
	"kallsyms_offsets", "kallsyms_relative_base", "kallsyms_addresses",
}

// sizes are those of SIZE().
var sizes = []string{
	"page", "mem_section", "pglist_data", "zone", "free_area", "list_head", "nodemask_t",
	"printk_ringbuffer", "prb_desc_ring", "prb_desc", "prb_data_blk_lpos", "prb_data_ring",
	"printk_info", "dev_printk_info", "latched_seq", "printk_log", "atomic_long_t",
}

// offsets are those of OFFSET().
var offsets = []string{
	"uts_namespace.name", "list_head.next", "list_head.prev",
	"page.flags", "page._refcount", "page.mapping", "page.lru", "page._mapcount", "page.private",
	"page.compound_dtor", "page.compound_order", "page.compound_head", "page.compound_info",
	"folio._folio_dtor", "folio._folio_order",
	"mem_section.section_mem_map",
	"pglist_data.node_zones", "pglist_data.nr_zones", "pglist_data.node_mem_map",
	"pglist_data.node_start_pfn", "pglist_data.node_spanned_pages", "pglist_data.node_id",
	"zone.free_area", "zone.vm_stat", "zone.spanned_pages", "free_area.free_list",
	"vm_struct.addr", "vmap_area.va_start", "vmap_area.list",
	"printk_ringbuffer.desc_ring", "printk_ringbuffer.text_data_ring", "printk_ringbuffer.fail",
	"prb_desc_ring.count_bits", "prb_desc_ring.descs", "prb_desc_ring.infos",
	"prb_desc_ring.head_id", "prb_desc_ring.tail_id",
	"prb_desc.state_var", "prb_desc.text_blk_lpos", "prb_data_blk_lpos.begin", "prb_data_blk_lpos.next",
	"prb_data_ring.size_bits", "prb_data_ring.data", "prb_data_ring.head_lpos", "prb_data_ring.tail_lpos",
	"printk_info.seq", "printk_info.ts_nsec", "printk_info.text_len", "printk_info.caller_id", "printk_info.dev_info",
	"dev_printk_info.subsystem", "dev_printk_info.device",
	"printk_log.ts_nsec", "printk_log.len", "printk_log.text_len", "printk_log.caller_id",
	"latched_seq.val", "atomic_long_t.counter",
}

// lengths are those of LENGTH(), of members of structures.
var lengths = []string{"zone.free_area", "free_area.free_list"}

// numbers are those of NUMBER() that are constants.
var numbers = []string{
	"NR_FREE_PAGES",
	"PG_lru", "PG_private", "PG_head_mask", "PG_swapcache", "PG_swapbacked", "PG_slab", "PG_hwpoison", "PG_hugetlb",
	"PAGE_BUDDY_MAPCOUNT_VALUE", "PAGE_OFFLINE_MAPCOUNT_VALUE", "PAGE_SLAB_MAPCOUNT_VALUE",
	"PAGE_HUGETLB_MAPCOUNT_VALUE", "PAGE_UNACCEPTED_MAPCOUNT_VALUE", "HUGETLB_PAGE_DTOR",
}
