package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine is what figures depend on beside the code.
type machine struct {
	Date     string
	Commit   string // of the tree; "-changed" where it had changes
	Cores    int
	CPU      string
	Memory   string
	System   string
	Go       string
	Versions map[string]string // of modules, and of Kafka
	Load     string            // averages over 1, 5 and 15 minutes when the run began
}

func thisMachine(ctx context.Context, now time.Time) machine {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease") // "" elsewhere
	load, _ := os.ReadFile("/proc/loadavg")
	m := machine{
		Date: now.UTC().Format(time.DateOnly), Commit: commit(ctx), Cores: runtime.GOMAXPROCS(0),
		CPU: procLine("/proc/cpuinfo", "model name"), Memory: procLine("/proc/meminfo", "MemTotal"),
		System: runtime.GOOS + " " + strings.TrimSpace(string(release)), Go: runtime.Version(),
		Versions: map[string]string{"Apache Kafka": kafkaVersion},
	}
	if f := strings.Fields(string(load)); len(f) >= 3 {
		m.Load = strings.Join(f[:3], " ")
	}
	for _, path := range []string{"twmb/franz-go", "cockroachdb/pebble/v2", "lovoo/goka", "IBM/sarama"} {
		cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", "github.com/"+path)
		if out, err := cmd.Output(); err == nil {
			m.Versions[path] = strings.TrimSpace(string(out))
		}
	}
	return m
}

// procLine returns the value of a "name: value" line.
func procLine(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

// commit names the tree's commit, as the report's file is named.
func commit(ctx context.Context) string {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", filepath.FromSlash(root)}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	id, err := git("rev-parse", "--short", "HEAD")
	if err != nil {
		return "unknown"
	}
	if _, err := git("diff", "--quiet", "HEAD"); err != nil {
		id += "-changed"
	}
	return id
}

func (m machine) String() string {
	return fmt.Sprintf("%d × %s, %s, %s, %s, load %s", m.Cores, m.CPU, m.Memory, m.System, m.Go, m.Load)
}
