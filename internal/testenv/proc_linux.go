package testenv

import "syscall"

// dieWithParent makes a child die with this process, and keeps the terminal's
// signals from it.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
