//go:build !linux

package bench

import (
	"syscall"
	"time"
)

// Figures need Linux: elsewhere everything costs nothing, and newLab refuses.
func cpuTime(int) time.Duration           { return 0 }
func memory(int, string) int64            { return 0 }
func childNamed(string) int               { return 0 }
func dieWithParent() *syscall.SysProcAttr { return nil }
func threadTime() time.Duration           { return 0 }
