package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// profileLines is how much of each profile the report keeps.
const profileLines = "30"

// profileFigures take CPU profiles of examples/count between 10 % and 90 % of the
// records. They are runs of their own: a profile costs something.
func profileFigures(l *lab) error {
	binary, err := l.buildProfiled()
	if err != nil {
		return err
	}
	for _, c := range l.profiled() {
		if !l.wants("profile/" + c.name) {
			continue
		}
		top, err := l.profile(binary, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		if l.report.Profiles == nil {
			l.report.Profiles = map[string]string{}
		}
		l.report.Profiles[c.String()] = top
	}
	return nil
}

// profiled is a run of examples/count that is profiled.
type profiled struct {
	name   string // what -only selects by, and the file's
	in     input
	flags  []string
	output bool
	from   string // kind of bucket that the input is read from; "" for none
}

func (c profiled) String() string {
	return strings.Join(append(append([]string{"count"}, c.flags...), "on", c.in.Dist), " ") + c.more()
}

func (c profiled) more() string {
	if c.from != "" {
		return ", out of an archive, " + c.from
	}
	if c.in.Partitions == partitions {
		return ""
	}
	return fmt.Sprintf(", %d partitions", c.in.Partitions)
}

func (l *lab) profiled() []profiled {
	hot, uniform := standard("hot", l.records), standard("uniform", l.records)
	return []profiled{
		{name: "hot", in: hot},
		{name: "uniform", in: uniform},
		{name: "uniform-output", in: uniform, flags: []string{"--output"}, output: true},
		{name: "partitions", in: spread(int32(slices.Max(l.partitions)), l.records), flags: []string{"--workers", "1"}},
		{name: "replay", in: hot, from: "file"},
	}
}

// buildProfiled builds examples/count with testdata/profile.go laid over it.
func (l *lab) buildProfiled() (string, error) {
	place, err := filepath.Abs(filepath.Join(root, "examples", "count", "profile.go"))
	if err != nil {
		return "", err
	}
	file, err := filepath.Abs(filepath.Join("testdata", "profile.go"))
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {place: file}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(l.dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o644); err != nil {
		return "", err
	}
	return l.build("count-profiled", "examples/count", "-overlay", overlay)
}

// profile returns the top of a profile.
func (l *lab) profile(binary string, c profiled) (string, error) {
	if err := l.ensure(c.in); err != nil {
		return "", err
	}
	group := l.name("profiled")
	flags := c.flags
	if c.output {
		if err := l.topic(group+"-out", c.in.Partitions); err != nil {
			return "", err
		}
		flags = append(slices.Clone(flags), group+"-out")
	}
	if c.from != "" {
		if _, err := l.archive(c.in.topic(), l.bucketOf(c.from)); err != nil {
			return "", err
		}
		flags = append(slices.Clone(flags), "--bucket", l.bucketOf(c.from))
	}
	file := filepath.Join(l.dir, group+".pprof")
	cmd := l.countCommand(binary, group, c.in.topic(), flags...)
	cmd.Env = append(os.Environ(), "KAPPA_BENCH_PROFILE="+file)
	p, err := l.start(group, cmd)
	if err != nil {
		return "", err
	}
	defer p.kill()
	if err := l.takeProfile(p, group, c.in); err != nil {
		return "", err
	}
	top, err := exec.CommandContext(l.ctx, "go", "tool", "pprof", "-top", "-nodecount", profileLines, binary, file).Output()
	if err != nil {
		return "", fmt.Errorf("go tool pprof: %w", err)
	}
	if err := l.keepProfile(file, c.name); err != nil {
		return "", err
	}
	return string(top), l.sweep(group)
}

// takeProfile lets a program run through its input and says when to profile.
func (l *lab) takeProfile(p *process, group string, in input) error {
	for _, mark := range []struct {
		records int64
		signal  os.Signal
	}{{in.Records / 10, syscall.SIGUSR1}, {in.Records * 9 / 10, syscall.SIGUSR2}} {
		if _, err := l.follow(p, group, in.topic(), mark.records); err != nil {
			return err
		}
		if err := p.cmd.Process.Signal(mark.signal); err != nil {
			return err
		}
	}
	if _, err := l.follow(p, group, in.topic(), in.Records); err != nil {
		return err
	}
	if err := l.sleep(time.Second); err != nil { // the profile is being written
		return err
	}
	return p.stop()
}

// keepProfile leaves the profile beside the report, for who looks closer.
func (l *lab) keepProfile(file, name string) error {
	if l.profiles == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.profiles, "count-"+name+".pprof"), text, 0o644)
}
