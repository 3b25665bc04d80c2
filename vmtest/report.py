# Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.
#
# A drgn script: prints what somebody who opens a dump looks at first.

from drgn.helpers.linux import for_each_task, get_dmesg

print("release", prog["init_uts_ns"].name.release.string_().decode())
thread = prog.crashed_thread()
print("crashed thread", thread.tid)
trace = thread.stack_trace()
print(trace)
for frame in trace:
    try:
        print(frame.name, [f"{name}={frame[name].format_(symbolize=True)}" for name in frame.locals()])
    except Exception as error:
        print(frame.name, type(error).__name__, error)

for task in for_each_task(prog):
    print("task", task.pid.value_(), task.comm.string_().decode(), task.mm.value_())
print("vm_zone_stat", prog["vm_zone_stat"])
print("vm_node_stat", prog["vm_node_stat"])
print("log")
print(get_dmesg(prog).decode(), end="")
