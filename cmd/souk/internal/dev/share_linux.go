package dev

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

const schedBatch = 3 // SCHED_BATCH of sched(7)

// scheduleAsBatch gives the threads of this process, and what they start, a policy under which they don't preempt
// others when they wake. By default, with few processors, each message of a call from process to process would
// preempt its sender. With the policy, the receiver reads several messages at a time.
func scheduleAsBatch() error {
	// A thread inherits the policy of the thread that starts it. A thread with the old policy may start another one
	// during the first pass, so a second pass is needed.
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
			var priority int32 // SCHED_BATCH requires 0
			//nolint:gosec // the kernel reads priority during the call and keeps no pointer
			_, _, failure := syscall.Syscall(syscall.SYS_SCHED_SETSCHEDULER,
				uintptr(tid), schedBatch, uintptr(unsafe.Pointer(&priority)))
			if failure != 0 && failure != syscall.ESRCH { // ESRCH: the thread has ended
				return fmt.Errorf("sched_setscheduler: %w", failure)
			}
		}
	}
	return nil
}
