package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes the test's binary the program itself where a test starts it so.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), "TEST_AS_PROGRAM=1")
	t.Cleanup(func() {
		if c.Process != nil && c.ProcessState == nil {
			c.Process.Kill()
			c.Wait()
		}
	})
	return c
}

func TestSIGTERMEndsTheBrokerInOrder(t *testing.T) {
	c := program(t, "dev", "--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--http", "")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "development broker on 127.0.0.1:") {
		t.Fatalf("%q, %v", line, err)
	}
	begin := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestExitCodes(t *testing.T) {
	for code, args := range map[int][]string{
		0: {"--help"},
		1: {"lag", "g", "--brokers", "127.0.0.1:1", "--connect-timeout", "20ms"},
		2: {"lag"},
	} {
		err := program(t, args...).Run()
		exit := new(exec.ExitError)
		if code == 0 && err != nil || code != 0 && (!errors.As(err, &exit) || exit.ExitCode() != code) {
			t.Errorf("%v: %v, want exit code %d", args, err, code)
		}
	}
}
