package testenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// orphanEnv, when set to a directory, makes the test binary start a broker there,
// print the broker's process id and wait: it is to be killed.
const orphanEnv = "KAPPA_TESTENV_ORPHAN"

func runOrphan() int {
	k, err := startKafka(context.Background(), Options{}, os.Getenv(orphanEnv))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(k.nodes[0].proc.cmd.Process.Pid)
	select {}
}

func TestBrokerDiesWithTheTestProcess(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("real Kafka: not with -short")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), orphanEnv+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		cmd.Process.Kill()
		t.Fatalf("the child did not start a broker: %s", line)
	}
	cmd.Process.Kill()
	_ = cmd.Wait() // killed
	for deadline := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("broker %d outlived its test process", pid)
		}
	}
}

// alive reports whether the process runs; a zombie, whose new parent has not waited
// for it yet, does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestTakenPortIsRecognised(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("real Kafka: not with -short")
	}
	inst, err := findInstallation()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{}.withDefaults()
	layouts, err := layOut(o, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", layouts[0].addr())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := layouts[0].write(inst, o); err != nil {
		t.Fatal(err)
	}
	n := &node{inst: inst, layout: layouts[0]}
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	defer n.kill()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	if err := n.await(ctx, 1); !errors.Is(err, errPortTaken) {
		t.Errorf("await with a taken port: %v", err)
	}
	if log := n.newLog(); !strings.Contains(log, "Address already in use") {
		t.Errorf("the log does not tell: %s", log)
	}
	if log := n.newLog(); log != "" {
		t.Errorf("the log is told twice: %s", log)
	}
}
