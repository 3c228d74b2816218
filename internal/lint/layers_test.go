package lint

import (
	"strings"
	"testing"
)

// pkg makes a package of a module "m" from its path and imports; those of the module
// begin with "m/".
func pkg(path string, imports ...string) Package {
	p := Package{ImportPath: "m/" + path, Imports: imports}
	if path == "." {
		p.ImportPath = "m"
	}
	p.Module.Path = "m"
	return p
}

// testPkg makes one whose tests import.
func testPkg(path string, imports ...string) Package {
	p := pkg(path)
	p.XTestImports = imports
	return p
}

// expect fails unless there is one finding that contains want, or none for "".
func expect(t *testing.T, found []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(found) > 0:
		t.Errorf("found %q, want nothing", found)
	case want != "" && (len(found) != 1 || !strings.Contains(found[0], want)):
		t.Errorf("found %q, want one with %q", found, want)
	}
}

func TestLayersFindWhatDoesNotGoDown(t *testing.T) {
	for name, c := range map[string]struct {
		p    Package
		want string
	}{
		"down":                 {pkg("topology", "m/record", "m/processors"), ""},
		"parent to child":      {pkg("internal/kafka", "m/internal/kafka/balance"), ""},
		"root down":            {pkg(".", "m/internal/engine"), ""},
		"up":                   {pkg("record", "m/state"), "record (floor 0) imports state (floor 1)"},
		"to the root":          {pkg("views", "m"), "views (floor 5) imports . (floor 7)"},
		"same floor":           {pkg("state", "m/schema"), "imports go down"},
		"no floor":             {pkg("helpers", "m/record"), "helpers is on no floor"},
		"test room":            {pkg("internal/engine", "m/internal/testenv"), "outside of tests"},
		"test up":              {testPkg("record", "m/state"), "imports go down"},
		"test same floor":      {testPkg("views", "m/internal/engine"), ""},
		"test, test room":      {testPkg("processors", "m/topology/topologytest"), ""},
		"inside one program":   {pkg("examples/a", "m/examples/a/b"), ""},
		"between two programs": {pkg("examples/a", "m/examples/b"), "imports go down"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, Layers([]Package{c.p}), c.want) })
	}
}

func TestOwnersFindStrangers(t *testing.T) {
	for name, c := range map[string]struct {
		p    Package
		want string
	}{
		"owner":              {pkg("state/pebble", "github.com/cockroachdb/pebble/v2/vfs"), ""},
		"owner by prefix":    {pkg("examples/count", "github.com/lovoo/goka/codec"), ""},
		"standard library":   {pkg("record", "fmt", "log/slog"), ""},
		"pebble":             {pkg("state", "github.com/cockroachdb/pebble/v2"), "belongs to state/pebble"},
		"kgo":                {pkg("views", "github.com/twmb/franz-go/pkg/kgo"), "belongs to internal/kafka,"},
		"kfake is not kgo's": {pkg("internal/kafka", "github.com/twmb/franz-go/pkg/kfake"), "belongs to internal/dev"},
		"avro":               {pkg("topology", "github.com/hamba/avro/v2"), "belongs to schema"},
		"prometheus":         {pkg("internal/engine", "github.com/prometheus/client_golang/prometheus"), "belongs to internal/metrics"},
		"cobra":              {pkg("views", "github.com/spf13/cobra"), "belongs to ."},
		"goka":               {pkg("state", "github.com/lovoo/goka"), "belongs to processors"},
		"http":               {pkg("views", "net/http"), "belongs to internal/web"},
		"old log":            {pkg("views", "log"), "belongs to nobody"},
		"unknown":            {pkg("record", "example.org/x"), "no owner"},
		"test, known":        {testPkg("schema", "github.com/lovoo/goka"), ""},
		"test, unknown":      {testPkg("schema", "example.org/x"), "no owner"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, Owners([]Package{c.p}), c.want) })
	}
}

func TestDecodeReportsWhatGoListCouldNotLoad(t *testing.T) {
	_, err := decode(strings.NewReader(`{"ImportPath":"m/a"} {"ImportPath":"m/b","Error":{"Err":"no such file"}}`))
	if err == nil || !strings.Contains(err.Error(), "m/b: no such file") {
		t.Errorf("error %v", err)
	}
}
