package testenv

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// version is the Kafka that scripts/kafka.sh installs.
const version = "4.3.1"

const howToInstall = "run scripts/kafka.sh (it needs Java >= 17 and Maven; Debian: apt-get install default-jre-headless maven), or test with -short"

// installation is where Kafka and Java are.
type installation struct {
	java string
	home string // as scripts/kafka.sh describes it
}

// findInstallation finds what scripts/kafka.sh left. Its error says what to install.
func findInstallation() (installation, error) {
	java, err := findJava()
	if err != nil {
		return installation{}, fmt.Errorf("real Kafka needs Java: %w; %s", err, howToInstall)
	}
	i := installation{java: java, home: filepath.Join(cacheDir(), "kappa", "kafka-"+version)}
	for _, need := range []string{"libs", "log4j2.properties", i.formatted(1), i.formatted(2)} {
		if _, err := os.Stat(i.path(need)); err != nil {
			return installation{}, fmt.Errorf("real Kafka is not installed: %w; %s", err, howToInstall)
		}
	}
	return i, nil
}

func findJava() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return exec.LookPath(filepath.Join(home, "bin", "java"))
	}
	return exec.LookPath("java")
}

// cacheDir is the directory that scripts/kafka.sh uses, which is not
// os.UserCacheDir on every system.
func cacheDir() string {
	return cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(os.Getenv("HOME"), ".cache"))
}

// path resolves a path of the installation; an absolute one stays.
func (i installation) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(i.home, name)
}

// formatted is the file that tells an empty node its features.
func (i installation) formatted(transactionVersion int) string {
	return filepath.Join(fmt.Sprintf("format-%d", transactionVersion), checkpoint)
}

// command returns the arguments of java for a broker. Tests start brokers often and
// load them little: a serial collector, the quick compiler only, and the archive of
// loaded classes (ignored by Java where it is missing or does not fit) make the start
// 1.3 s of CPU instead of 4.3 s.
func (i installation) command(properties string) ([]string, error) {
	jars, err := filepath.Glob(i.path("libs/*.jar"))
	if err != nil || len(jars) == 0 {
		return nil, fmt.Errorf("no jars in %s; %s", i.path("libs"), howToInstall)
	}
	slices.Sort(jars) // the archive holds for this very order
	return []string{
		"-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-Xshare:auto", "-XX:SharedArchiveFile=" + i.path("classes.jsa"),
		"-Dlog4j2.configurationFile=" + i.path("log4j2.properties"),
		"-cp", strings.Join(jars, ":"), "kafka.Kafka", properties,
	}, nil
}
