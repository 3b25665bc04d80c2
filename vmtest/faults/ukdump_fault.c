// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.
//
// A kernel module that breaks the kernel it is loaded into, for the VM tests.
//
//	what=FAULT	what to do, see faults below
//	after=MS	when, for those that do not happen at once
//	on=TEXT		when the console shows this, _ being a space, and not at once;
//			after= counts from then on
//	times=N		how often, with on=
//	leave=MIB	how much memory what=memory leaves
//	damage=PLACES	overwrite memory before what=crash; see do_damage
//	crash=ADDRESS	of crash_kexec, for what=crash
//
// A capture kernel has nobody to pass parameters. There they are on its command
// line as ukdump_fault.what=FAULT and so on.

#include <linux/console.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pgtable.h>
#include <linux/pid.h>
#include <linux/reboot.h>
#include <linux/resource.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/workqueue.h>

static char *what = "";
static char *on = "";
static char *damage = "";
static unsigned int after;
static unsigned int leave;
static unsigned int times = 1;
static unsigned long crash;
module_param(what, charp, 0);
module_param(on, charp, 0);
module_param(damage, charp, 0);
module_param(after, uint, 0);
module_param(leave, uint, 0);
module_param(times, uint, 0);
module_param(crash, ulong, 0);

static void oops(void)
{
	*(volatile int *)8 = 0;
}

/* The second crash of a capture kernel. */
static void second_panic(void)
{
	panic("ukdump_fault: panic");
}

/* With one CPU, nothing runs any more. */
static void lockup(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

/* Interrupts still run, and with them the kernel's own lockup detector. */
static void soft_lockup(void)
{
	preempt_disable();
	for (;;)
		cpu_relax();
}

/* The process that writes the dump: the last one that a thread of PID 1 has started. */
static struct task_struct *dumper(void)
{
	struct task_struct *process, *last = NULL;

	for_each_process(process)
		if (process->mm && process->real_parent->tgid == 1)
			last = process;
	return last;
}

/*
 * Has every thread of it go on at address 0. This needs a single CPU, on which
 * none of the threads runs now.
 */
static void break_process(void)
{
	struct task_struct *thread;

	for_each_thread(dumper(), thread)
		task_pt_regs(thread)->ip = 0;
}

static void kill_process(void)
{
	send_sig(SIGKILL, dumper(), 1);
}

/* It gets no more memory, as under ulimit -v. */
static void limit_process(void)
{
	dumper()->signal->rlim[RLIMIT_AS].rlim_cur = PAGE_SIZE;
}

/* Takes memory, at first quickly, until so little is left that others fail. */
static void take_memory(void)
{
	unsigned long keep = (unsigned long)leave << (20 - PAGE_SHIFT);

	while (si_mem_available() > (long)keep)
		if (!alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN))
			msleep(10);
	pr_notice("ukdump_fault: %ld pages are left\n", si_mem_available());
}

static noinline int overflow(int depth)
{
	volatile char frame[512];

	frame[depth % sizeof(frame)] = depth;
	return overflow(depth + 1) + frame[(depth + 1) % sizeof(frame)];
}

static void stack_overflow(void)
{
	overflow(0);
}

/* An init function that does not return. */
static void hang(void)
{
	for (;;)
		schedule_timeout_uninterruptible(HZ);
}

/* reboot(2) calls this, and does not come to an end. */
static int no_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	pr_notice("ukdump_fault: no reboot\n");
	hang();
	return NOTIFY_DONE;
}

static struct notifier_block reboot_block = { .notifier_call = no_reboot };

static void block_reboot(void)
{
	register_reboot_notifier(&reboot_block);
}

static enum hrtimer_restart in_interrupt_context(struct hrtimer *timer)
{
	panic("ukdump_fault: panic in an interrupt");
}

static struct hrtimer timer;

static void interrupt(void)
{
	hrtimer_init(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	timer.function = in_interrupt_context;
	hrtimer_start(&timer, ms_to_ktime(1), HRTIMER_MODE_REL_HARD);
}

/*
 * Overwrites the PLACES, which have slashes between: START[:OFFSET][>OFFSET]...
 * +LEN=BYTE, all of them numbers in hexadecimal. START is an address, or a
 * physical one if it is low; each > goes on from the pointer that is there.
 * vmemmap:START stands for the entry of the struct pages in the page table at
 * START, which is made to lead back to the table.
 */
static int do_damage(char *places)
{
	char *place;

	while ((place = strsep(&places, "/"))) {
		unsigned long at, offset, len;
		unsigned int byte;
		char *rest;

		if (sscanf(place, "vmemmap:%lx", &at) == 1) {
			pgd_t *table = (pgd_t *)at;

			table[pgd_index((unsigned long)vmemmap)] = __pgd(__pa_symbol(at) | _KERNPG_TABLE);
			continue;
		}
		at = simple_strtoul(place, &rest, 16);
		if (at < PAGE_OFFSET >> 1)
			at = (unsigned long)__va(at);
		if (*rest == ':')
			at += simple_strtoul(rest + 1, &rest, 16);
		while (*rest == '>') {
			at = *(unsigned long *)at;
			offset = simple_strtoul(rest + 1, &rest, 16);
			at += offset;
		}
		if (sscanf(rest, "+%lx=%x", &len, &byte) != 2)
			return -EINVAL;
		memset((void *)at, byte, len);
	}
	return 0;
}

/*
 * Starts the capture kernel as panic() does, but without a word: what was
 * damaged may be what words need.
 */
static void crash_now(void)
{
	void (*crash_kexec)(struct pt_regs *) = (void *)crash;

	pr_emerg("ukdump_fault: crash\n");
	local_irq_disable();
	if (do_damage(damage))
		panic("ukdump_fault: damage=%s is not understood", damage);
	crash_kexec(NULL);
}

static const struct fault {
	const char *name;
	void (*happen)(void);
	bool at_once; /* whatever after= says */
} faults[] = {
	{ "oops", oops },
	{ "panic", second_panic },
	{ "lockup", lockup },
	{ "soft-lockup", soft_lockup },
	{ "break", break_process },
	{ "kill", kill_process },
	{ "limit", limit_process },
	{ "memory", take_memory },
	{ "stack-overflow", stack_overflow },
	{ "hang", hang, true },
	{ "block-reboot", block_reboot, true },
	{ "interrupt", interrupt, true },
	{ "crash", crash_now, true },
};

static const struct fault *fault;

static void happen(struct work_struct *work)
{
	pr_notice("ukdump_fault: %s\n", fault->name);
	fault->happen();
}

static DECLARE_DELAYED_WORK(work, happen);

static void start(void)
{
	schedule_delayed_work(&work, msecs_to_jiffies(after));
}

/* Gets what is written to the console, in pieces of lines. */
static void look(struct console *console, const char *text, unsigned int len)
{
	if (!times || !strnstr(text, on, len))
		return;
	times--;
	start();
}

/* One that is enabled beforehand need not be on the command line. */
static struct console looking = { .name = "fault", .write = look, .flags = CON_ENABLED, .index = -1 };

/* Takes parameters from the command line. */
static void read_cmdline(void)
{
	static char line[4096], name[32], text[64];
	struct file *file = filp_open("/proc/cmdline", O_RDONLY, 0);
	loff_t pos = 0;
	char *option, *rest = line;

	if (IS_ERR(file))
		return;
	kernel_read(file, line, sizeof(line) - 1, &pos);
	filp_close(file, NULL);
	while ((option = strsep(&rest, " \n"))) {
		sscanf(option, "ukdump_fault.after=%u", &after);
		sscanf(option, "ukdump_fault.leave=%u", &leave);
		sscanf(option, "ukdump_fault.times=%u", &times);
		if (sscanf(option, "ukdump_fault.what=%31s", name) == 1)
			what = name;
		if (sscanf(option, "ukdump_fault.on=%63s", text) == 1)
			on = text;
	}
}

static int __init fault_init(void)
{
	int i;

	if (!*what)
		read_cmdline();
	for (i = 0; i < ARRAY_SIZE(faults); i++)
		if (!strcmp(what, faults[i].name))
			fault = &faults[i];
	if (!fault) {
		pr_err("ukdump_fault: no fault \"%s\"\n", what);
		return -EINVAL;
	}
	for (i = 0; on[i]; i++)
		if (on[i] == '_')
			on[i] = ' ';
	if (*on)
		register_console(&looking);
	else if (fault->at_once || !after)
		happen(NULL);
	else
		start();
	return 0;
}

module_init(fault_init);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("faults for the VM tests of ukdump");
