package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

const schedBatch = 3 // SCHED_BATCH of sched(7)

// scheduleAsBatch tells the kernel that the threads of this process, and what they start, should not interrupt others
// when they wake up. With a few processors and a call that passes from process to process, each message would
// otherwise stop who sent it; so messages gather meanwhile, and are read together.
func scheduleAsBatch() error {
	// A thread inherits the policy of the one that starts it: one that is started during the first round, by a thread
	// that it had not come to yet, is in the second.
	for range 2 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				return err
			}
			var priority int32 // as SCHED_BATCH asks for
			//nolint:gosec // the kernel reads what priority points to, and keeps nothing
			_, _, failure := syscall.Syscall(syscall.SYS_SCHED_SETSCHEDULER, uintptr(tid), schedBatch, uintptr(unsafe.Pointer(&priority)))
			if failure != 0 && failure != syscall.ESRCH { // it has ended
				return fmt.Errorf("sched_setscheduler: %w", failure)
			}
		}
	}
	return nil
}
