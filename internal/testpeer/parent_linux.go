package testpeer

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel kill the process when this one ends, however it ends: a test that panics or
// runs into its time limit cleans nothing up.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
