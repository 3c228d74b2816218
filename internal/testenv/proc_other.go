//go:build !linux

package testenv

import "syscall"

// dieWithParent would make a child die with this process; only Linux can.
func dieWithParent() *syscall.SysProcAttr { return nil }
