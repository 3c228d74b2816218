package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMissingKafkaSaysWhatToInstall(t *testing.T) {
	dir := t.TempDir()
	java := filepath.Join(dir, "java")
	if err := os.WriteFile(java, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JAVA_HOME", "")
	for _, c := range []struct{ path, want string }{
		{dir, "not installed"},
		{t.TempDir(), "needs Java"},
	} {
		t.Setenv("PATH", c.path)
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		_, err := findInstallation()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "run scripts/kafka.sh") || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v: want %q, how to mend it, in one line", err, c.want)
		}
	}
}

func TestScriptsInstallTheVersionsThatAreStarted(t *testing.T) {
	for file, want := range map[string]string{
		"kafka.sh":         "version=" + version + "\n",
		"kafka/pom.xml":    "<kafka.version>" + version + "</kafka.version>",
		"versitygw.sh":     "version=" + versityVersion + "\n",
		"versitygw/go.mod": "github.com/versity/versitygw v" + versityVersion,
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", "scripts", file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q", file, want)
		}
	}
}
